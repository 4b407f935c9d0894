package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// Cache is a bounded map in front of a store, for many readers at once. An entry
// is fresh for a while after it was read, so that a change made elsewhere is
// noticed; one made in this process takes effect at once through Forget.
type Cache[K comparable, V any] struct {
	shard  func(K) uint64
	ttl    time.Duration
	since  time.Time
	shards [64]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu sync.RWMutex
	// hits and misses of Get are beside the lock, which every Get writes anyway.
	hits, misses atomic.Uint64
	entries      map[K]slot[V]
	max          int
	// generation counts changes that touched the shard. Who was reading the
	// store meanwhile may have read what the change was about to end, and must
	// not cache it.
	generation uint64
}

// slot holds the time by value: looking for the oldest of a few then touches
// nothing but the map.
type slot[V any] struct {
	readAt time.Duration // since the cache was made
	value  V
}

// New returns a cache for about size entries, each fresh for ttl. shardOf spreads
// keys evenly; it is called for each Get, and must not allocate.
func New[K comparable, V any](size int, ttl time.Duration, shardOf func(K) uint64) *Cache[K, V] {
	c := &Cache[K, V]{shard: shardOf, ttl: ttl, since: time.Now()}
	for i := range c.shards {
		c.shards[i] = shard[K, V]{entries: make(map[K]slot[V]), max: max(1, size/len(c.shards))}
	}
	return c
}

// Get returns what is cached, whether it is fresh, and the generation for Put.
func (c *Cache[K, V]) Get(key K, now time.Time) (value V, fresh bool, generation uint64) {
	s := &c.shards[c.shard(key)%uint64(len(c.shards))]
	s.mu.RLock()
	known, ok := s.entries[key]
	generation = s.generation
	s.mu.RUnlock()
	if ok {
		age := now.Sub(c.since) - known.readAt
		fresh = age >= 0 && age <= c.ttl
	}
	if fresh {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
	return known.value, fresh, generation
}

// Stale returns what was cached at most so long ago, for when nobody can be asked.
// What was forgotten since is not there.
func (c *Cache[K, V]) Stale(key K, now time.Time, within time.Duration) (value V, ok bool) {
	s := c.of(key)
	s.mu.RLock()
	known, ok := s.entries[key]
	s.mu.RUnlock()
	if age := now.Sub(c.since) - known.readAt; !ok || age < 0 || age > within {
		return value, false
	}
	return known.value, true
}

// Put caches what was read from the store, unless there was a change since the
// generation.
func (c *Cache[K, V]) Put(key K, value V, now time.Time, generation uint64) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation == generation {
		s.put(key, slot[V]{now.Sub(c.since), value})
	}
}

// Replace caches what a change led to, as Forget and Put in one.
func (c *Cache[K, V]) Replace(key K, value V, now time.Time, generation uint64) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
	if s.generation == generation {
		s.put(key, slot[V]{now.Sub(c.since), value})
	}
	s.generation++
}

// Forget drops what is cached of something that changed, and what is being read
// of it just now. It is called after the store has committed the change.
func (c *Cache[K, V]) Forget(key K) {
	s := c.of(key)
	s.mu.Lock()
	s.generation++
	delete(s.entries, key)
	s.mu.Unlock()
}

// ForgetWhere is Forget for all that ends, also for what is being read just now,
// whatever that is. It looks at every entry.
func (c *Cache[K, V]) ForgetWhere(ends func(K, V) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.generation++
		for key, known := range s.entries {
			if ends(key, known.value) {
				delete(s.entries, key)
			}
		}
		s.mu.Unlock()
	}
}

// Drop removes an entry that turned out to be of no use.
func (c *Cache[K, V]) Drop(key K) {
	s := c.of(key)
	s.mu.Lock()
	delete(s.entries, key)
	s.mu.Unlock()
}

// Stats are what became of the calls of Get, and how many entries there are.
type Stats struct {
	Hits, Misses uint64
	Entries      int
}

// Stats returns what happened so far. A Get that found what is not fresh is a miss.
func (c *Cache[K, V]) Stats() Stats {
	stats := Stats{Entries: c.Len()}
	for i := range c.shards {
		stats.Hits += c.shards[i].hits.Load()
		stats.Misses += c.shards[i].misses.Load()
	}
	return stats
}

// Len returns how many entries there are.
func (c *Cache[K, V]) Len() int {
	n := 0
	for i := range c.shards {
		c.shards[i].mu.RLock()
		n += len(c.shards[i].entries)
		c.shards[i].mu.RUnlock()
	}
	return n
}

func (c *Cache[K, V]) of(key K) *shard[K, V] {
	return &c.shards[c.shard(key)%uint64(len(c.shards))]
}

// put makes room by dropping the entry that was read longest ago among a few:
// one in use is read again every few seconds.
func (s *shard[K, V]) put(key K, e slot[V]) {
	if _, replaces := s.entries[key]; !replaces && len(s.entries) >= s.max {
		var oldest K
		var readAt time.Duration
		sampled := 0
		for candidate, other := range s.entries {
			if sampled == 0 || other.readAt < readAt {
				oldest, readAt = candidate, other.readAt
			}
			if sampled++; sampled == 8 {
				break
			}
		}
		delete(s.entries, oldest)
	}
	s.entries[key] = e
}
