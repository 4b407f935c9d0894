package authz

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// tokenBelief is how long a cached token is believed without asking the store.
const tokenBelief = 5 * time.Second

// TokenCache is the bounded memory of recently seen access tokens in front of
// a Store. An entry is believed for at most 5 seconds, so that a revocation
// elsewhere, or a store that fails, is noticed; one in this process takes
// effect at once through Forget. Unknown tokens are not remembered.
type TokenCache struct {
	store  storage.AuthStore
	since  time.Time
	shards [64]tokenShard
}

type tokenShard struct {
	mu      sync.RWMutex
	entries map[storage.Hash]readToken
	max     int
	// forgotten counts calls of Forget that touched the shard. A lookup that
	// was reading the store meanwhile may have read what the revocation was
	// about to end, and must not remember it.
	forgotten uint64
	// revoked are the last tokens that were revoked one by one, in a ring.
	revoked [32]storage.Hash
	oldest  int // of them
}

// readToken holds the time by value: looking for the oldest of a few then
// touches nothing but the map.
type readToken struct {
	readAt time.Duration // since the cache was made
	*tokenEntry
}

// tokenEntry is never changed once it is in the cache, but for what the gates
// remember of it.
//
// A call of somebody who has not called for a while finds none of it in the
// processor's cache: what every call needs comes first.
type tokenEntry struct {
	// admitted is the id of the gate that last found everything about the token
	// good, but for its expiry. Neither the record nor a gate ever changes. It is
	// no pointer, which would keep the gates of earlier configurations.
	admitted  atomic.Uint64
	expiresAt time.Time
	token     storage.AccessToken
	caller    Caller
}

// NewTokenCache returns a cache for about size tokens.
func NewTokenCache(store storage.AuthStore, size int) *TokenCache {
	c := &TokenCache{store: store, since: time.Now()}
	for i := range c.shards {
		c.shards[i].entries = make(map[storage.Hash]readToken)
		c.shards[i].max = max(1, size/len(c.shards))
	}
	return c
}

// believed returns what is remembered, or nil and the ticket for read.
func (c *TokenCache) believed(h storage.Hash, now time.Time) (e *tokenEntry, ticket uint64) {
	s := c.shard(h)
	s.mu.RLock()
	known, ticket := s.entries[h], s.forgotten
	s.mu.RUnlock()
	if known.tokenEntry != nil {
		if age := now.Sub(c.since) - known.readAt; age >= 0 && age <= tokenBelief {
			return known.tokenEntry, ticket
		}
	}
	return nil, ticket
}

// read asks the store, and remembers the answer unless a Forget came since the
// ticket. It returns storage.ErrNotFound or a store failure. The token may have
// expired while it is remembered.
func (c *TokenCache) read(ctx context.Context, h storage.Hash, now time.Time, ticket uint64) (*tokenEntry, error) {
	token, err := c.store.AccessToken(ctx, h, now)
	if err != nil {
		return nil, err
	}
	e := &tokenEntry{expiresAt: token.ExpiresAt, token: token, caller: newCaller(h, &token)}
	s := c.shard(h)
	s.mu.Lock()
	if s.forgotten == ticket {
		s.put(h, readToken{now.Sub(c.since), e})
	}
	s.mu.Unlock()
	return e, nil
}

// Forget drops what a revocation ended. It is called after the store has
// committed the revocation.
func (c *TokenCache) Forget(r storage.Revocation) {
	for _, h := range r.AccessTokens {
		s := c.shard(h)
		s.mu.Lock()
		s.forgotten++
		delete(s.entries, h)
		s.mu.Unlock()
	}
}

// Revoked drops a token that was revoked while its grant stands. The store keeps
// nothing of it, so it is remembered for those who ask after it would have
// expired, see wasRevoked.
func (c *TokenCache) Revoked(h storage.Hash) {
	c.Forget(storage.Revocation{AccessTokens: []storage.Hash{h}})
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked[s.oldest] = h
	s.oldest = (s.oldest + 1) % len(s.revoked)
}

// wasRevoked reports whether Revoked was told of the token lately.
func (c *TokenCache) wasRevoked(h storage.Hash) bool {
	s := c.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Contains(s.revoked[:], h)
}

// shard picks by the first byte of a SHA-256: as even as it gets.
func (c *TokenCache) shard(h storage.Hash) *tokenShard {
	return &c.shards[int(h[0])%len(c.shards)]
}

// put makes room by dropping the entry that was read longest ago among a few:
// a token in use is read again every few seconds.
func (s *tokenShard) put(h storage.Hash, e readToken) {
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
