package tokens

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// TTL is how long a cached token is good without asking the store.
const TTL = 5 * time.Second

// Cache is the bounded memory of recently seen access tokens in front of
// a Store. An entry is used for at most 5 seconds, so that a revocation
// elsewhere, or a store that fails, is noticed; one in this process takes
// effect at once through Forget. Unknown tokens are not remembered.
type Cache struct {
	store  storage.AuthStore
	since  time.Time
	shards [64]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[storage.Hash]cachedEntry
	max     int
	// generation counts calls of Forget that touched the shard. A lookup that
	// was reading the store meanwhile may have read what the revocation was
	// about to end, and must not remember it.
	generation uint64
	// revoked are the last tokens that were revoked one by one, in a ring.
	revoked [32]storage.Hash
	oldest  int // of them
}

// cachedEntry holds the time by value: looking for the oldest of a few then
// touches nothing but the map.
type cachedEntry struct {
	readAt time.Duration // since the cache was made
	*Entry
}

// Entry is what is known of an access token. It is never changed once it is in
// the cache, but for what the gates remember of it.
//
// A call of somebody who has not called for a while finds none of it in the
// processor's cache: what every call needs comes first.
type Entry struct {
	// Admitted is the id of the gate that last found everything about the token
	// good, but for its expiry. Neither the record nor a gate ever changes. It is
	// no pointer, which would keep the gates of earlier configurations.
	Admitted  atomic.Uint64
	ExpiresAt time.Time
	Token     storage.AccessToken
	Caller    Caller
}

// NewCache returns a cache for about size tokens.
func NewCache(store storage.AuthStore, size int) *Cache {
	c := &Cache{store: store, since: time.Now()}
	for i := range c.shards {
		c.shards[i].entries = make(map[storage.Hash]cachedEntry)
		c.shards[i].max = max(1, size/len(c.shards))
	}
	return c
}

// Fresh returns what is remembered, or nil and the generation for Read.
func (c *Cache) Fresh(h storage.Hash, now time.Time) (e *Entry, generation uint64) {
	s := c.shardOf(h)
	s.mu.RLock()
	known, generation := s.entries[h], s.generation
	s.mu.RUnlock()
	if known.Entry != nil {
		if age := now.Sub(c.since) - known.readAt; age >= 0 && age <= TTL {
			return known.Entry, generation
		}
	}
	return nil, generation
}

// Read asks the store, and remembers the answer unless a Forget came since the
// generation. It returns storage.ErrNotFound or a store failure. The token may have
// expired while it is remembered.
func (c *Cache) Read(ctx context.Context, h storage.Hash, now time.Time, generation uint64) (*Entry, error) {
	token, err := c.store.AccessToken(ctx, h, now)
	if err != nil {
		return nil, err
	}
	e := &Entry{ExpiresAt: token.ExpiresAt, Token: token, Caller: newCaller(h, &token)}
	s := c.shardOf(h)
	s.mu.Lock()
	if s.generation == generation {
		s.put(h, cachedEntry{now.Sub(c.since), e})
	}
	s.mu.Unlock()
	return e, nil
}

// Forget drops what a revocation ended. It is called after the store has
// committed the revocation.
func (c *Cache) Forget(r storage.Revocation) {
	for _, h := range r.AccessTokens {
		s := c.shardOf(h)
		s.mu.Lock()
		s.generation++
		delete(s.entries, h)
		s.mu.Unlock()
	}
}

// Revoked drops a token that was revoked while its grant stands. The store keeps
// nothing of it, so it is remembered for those who ask after it would have
// expired, see WasRevoked.
func (c *Cache) Revoked(h storage.Hash) {
	c.Forget(storage.Revocation{AccessTokens: []storage.Hash{h}})
	s := c.shardOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked[s.oldest] = h
	s.oldest = (s.oldest + 1) % len(s.revoked)
}

// WasRevoked reports whether Revoked was told of the token lately.
func (c *Cache) WasRevoked(h storage.Hash) bool {
	s := c.shardOf(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Contains(s.revoked[:], h)
}

// shardOf picks by the first byte of a SHA-256: as even as it gets.
func (c *Cache) shardOf(h storage.Hash) *shard {
	return &c.shards[int(h[0])%len(c.shards)]
}

// put makes room by dropping the entry that was read longest ago among a few:
// a token in use is read again every few seconds.
func (s *shard) put(h storage.Hash, e cachedEntry) {
	if _, replaces := s.entries[h]; !replaces && len(s.entries) >= s.max {
		var oldest storage.Hash
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
	s.entries[h] = e
}
