package accounts

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// cacheTTL is how long a cached connection is used without asking the store.
	cacheTTL = 5 * time.Second
	// cacheSize bounds how many connections are cached.
	cacheSize = 1 << 16
)

// connectionCache is the bounded memory of decrypted connections in front of a
// store. An entry is fresh for cacheTTL, so that a change made elsewhere is
// noticed; one made in this process takes effect at once through forget.
type connectionCache struct {
	seed   maphash.Seed
	shards [64]cacheShard
}

type cacheShard struct {
	mu      sync.RWMutex
	entries map[storage.ConnectionKey]*cachedConnection
	// generation counts calls of forget that touched the shard. Who was reading
	// the store meanwhile may have read what the change was about to end, and
	// must not cache it.
	generation uint64
}

func newConnectionCache() *connectionCache {
	c := &connectionCache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].entries = make(map[storage.ConnectionKey]*cachedConnection)
	}
	return c
}

// get returns what is cached, fresh or not, and the generation for put.
func (c *connectionCache) get(k storage.ConnectionKey) (h *cachedConnection, generation uint64) {
	s := c.shard(k)
	s.mu.RLock()
	h, generation = s.entries[k], s.generation
	s.mu.RUnlock()
	return h, generation
}

// put caches h, unless a forget came since the generation.
func (c *connectionCache) put(k storage.ConnectionKey, h *cachedConnection, generation uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation {
		return
	}
	if _, replaces := s.entries[k]; !replaces && len(s.entries) >= cacheSize/len(c.shards) {
		s.makeRoom()
	}
	s.entries[k] = h
}

// replace caches h after a change that led to it, as forget and put in one.
func (c *connectionCache) replace(k storage.ConnectionKey, h *cachedConnection, generation uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, k)
	if s.generation == generation {
		s.entries[k] = h
	}
	s.generation++
}

// forget drops what is cached of a connection that changed, and what somebody
// is reading of it just now.
func (c *connectionCache) forget(k storage.ConnectionKey) {
	s := c.shard(k)
	s.mu.Lock()
	s.generation++
	delete(s.entries, k)
	s.mu.Unlock()
}

// drop removes an entry that turned out to be of no use.
func (c *connectionCache) drop(k storage.ConnectionKey) {
	s := c.shard(k)
	s.mu.Lock()
	delete(s.entries, k)
	s.mu.Unlock()
}

// makeRoom drops the entry that was read longest ago among a few: one in use
// is read again every few seconds.
func (s *cacheShard) makeRoom() {
	var oldest storage.ConnectionKey
	var readAt time.Time
	sampled := 0
	for k, h := range s.entries {
		if sampled == 0 || h.readAt.Before(readAt) {
			oldest, readAt = k, h.readAt
		}
		if sampled++; sampled == 8 {
			break
		}
	}
	delete(s.entries, oldest)
}

func (c *connectionCache) shard(k storage.ConnectionKey) *cacheShard {
	return &c.shards[maphash.String(c.seed, k.Owner)%uint64(len(c.shards))]
}
