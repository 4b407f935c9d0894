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
