package cache

import "testing"

func TestLRU(t *testing.T) {
	l := NewLRU[int, string](2)
	l.Put(1, "one")
	l.Put(2, "two")
	l.Get(1)
	l.Put(3, "three")
	if _, ok := l.Get(2); ok {
		t.Error("what was used least recently is still there")
	}
	for i := range 100 {
		l.Put(i, "")
		l.Put(i, "again")
	}
	if v, _ := l.Get(99); v != "again" || l.Len() != 2 || l.recent.Len() != 2 {
		t.Errorf("value %q, %d entries, %d of them listed; want again, 2, 2", v, l.Len(), l.recent.Len())
	}
	l.Remove(99)
	l.Remove(99)
	if l.Len() != 1 || l.recent.Len() != 1 {
		t.Errorf("%d entries, %d of them listed; want 1, 1", l.Len(), l.recent.Len())
	}
}

// To look at an entry does not keep it; the oldest is what gives way next.
func TestLRUPeekIsNoUse(t *testing.T) {
	l := NewLRU[int, string](2)
	if key, _, ok := l.Oldest(); ok {
		t.Errorf("the oldest of none is %d, want none", key)
	}
	l.Put(1, "one")
	l.Put(2, "two")
	if v, ok := l.Peek(1); v != "one" || !ok {
		t.Errorf("value %q, %t; want one", v, ok)
	}
	if key, v, _ := l.Oldest(); key != 1 || v != "one" {
		t.Errorf("the oldest is %d, %q; want 1, one", key, v)
	}
	l.Put(3, "three")
	if v, ok := l.Peek(1); ok {
		t.Errorf("the oldest is still there: %q", v)
	}
}
