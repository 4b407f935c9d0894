package cache

import (
	"testing"
	"time"
)

var start = time.Now()

func newCache(size int) *Cache[int, string] {
	return New[int, string](size, 5*time.Second, func(k int) uint64 { return uint64(k) })
}

func TestCacheFresh(t *testing.T) {
	c := newCache(100)
	_, fresh, generation := c.Get(1, start)
	if fresh {
		t.Error("an empty cache has something fresh")
	}
	c.Put(1, "one", start, generation)
	for after, want := range map[time.Duration]bool{0: true, 5 * time.Second: true, 5*time.Second + 1: false, -1: false} {
		if v, fresh, _ := c.Get(1, start.Add(after)); v != "one" || fresh != want {
			t.Errorf("after %v: got %q, fresh %t; want one, %t", after, v, fresh, want)
		}
	}
	c.Drop(1)
	if v, fresh, g := c.Get(1, start); v != "" || fresh || g != generation {
		t.Errorf("dropped: got %q, fresh %t, generation %d; want none of generation %d", v, fresh, g, generation)
	}
}

// What was read before a change is not cached after it.
func TestCacheChangeDuringRead(t *testing.T) {
	for name, change := range map[string]func(*Cache[int, string], uint64){
		"forgotten": func(c *Cache[int, string], _ uint64) { c.Forget(1) },
		"replaced":  func(c *Cache[int, string], generation uint64) { c.Replace(1, "new", start, generation) },
	} {
		c := newCache(100)
		_, _, reading := c.Get(1, start)
		change(c, reading)
		for what, write := range map[string]func(int, string, time.Time, uint64){"put": c.Put, "replace": c.Replace} {
			write(1, "old", start, reading)
			if v, _, _ := c.Get(1, start); v == "old" {
				t.Errorf("%s: %s brings back what was read before", name, what)
			}
		}
	}
}

func TestCacheStats(t *testing.T) {
	c := newCache(100)
	c.Get(1, start)
	c.Put(1, "one", start, 0)
	c.Put(2, "two", start, 0)
	c.Get(1, start)
	c.Get(2, start)
	c.Get(2, start.Add(time.Minute))
	if got, want := c.Stats(), (Stats{Hits: 2, Misses: 2, Entries: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(128)
	for i := range 10_000 {
		c.Put(i, "", start.Add(time.Duration(i)), 0)
	}
	if n := c.Len(); n != 128 {
		t.Errorf("%d entries, want 128", n)
	}
	c.Put(9_999, "again", start, 0)
	if v, _, _ := c.Get(9_999, start); v != "again" || c.Len() != 128 {
		t.Errorf("got %q in %d entries, want again in 128", v, c.Len())
	}
}

func TestCacheGetAllocatesNothing(t *testing.T) {
	c := newCache(128)
	c.Put(1, "one", start, 0)
	if n := testing.AllocsPerRun(100, func() { c.Get(1, start) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
