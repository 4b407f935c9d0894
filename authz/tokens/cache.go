package tokens

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// TTL is how long a cached token is good without asking the store.
const TTL = 5 * time.Second

// Cache is the bounded memory of recently seen access tokens in front of
// a Store. An entry is used for at most 5 seconds, so that a revocation
// elsewhere, or a store that fails, is noticed; one in this process takes
// effect at once through Forget. Unknown tokens are not remembered. While a store
// cannot be reached, an entry is used for as long as the store allows.
type Cache struct {
	store   storage.AuthStore
	entries *cache.Cache[storage.Hash, *Entry]
	// grants are those by which streams go on whose tokens have expired.
	grants  *cache.Cache[string, *Grant]
	revoked [64]lastRevoked
}

// lastRevoked are the last tokens that were revoked one by one, in a ring.
type lastRevoked struct {
	mu     sync.Mutex
	hashes [32]storage.Hash
	oldest int
}

// Entry is what is known of an access token. It is never changed once it is in
// the cache, but for what the gates remember of it.
//
// A call of somebody who has not called for a while finds none of it in the
// processor's cache: what every call needs comes first.
type Entry struct {
	// Admitted is the id of the gate, and of the virtual keys at that time, that last
	// found everything about the token good, but for its expiry. Nothing else that
	// matters changes. It is no pointer, which would keep the gates of earlier
	// configurations.
	Admitted  atomic.Uint64
	ExpiresAt time.Time
	Token     storage.AccessToken
	Caller    Caller
}

// NewCache returns a cache for about size tokens.
func NewCache(store storage.AuthStore, size int) *Cache {
	seed := maphash.MakeSeed()
	return &Cache{
		store:   store,
		entries: cache.New[storage.Hash, *Entry](size, TTL, shardOf),
		grants:  cache.New[string, *Grant](size, TTL, func(id string) uint64 { return maphash.String(seed, id) }),
	}
}

// shardOf picks by the first byte of a SHA-256: as even as it gets.
func shardOf(h storage.Hash) uint64 { return uint64(h[0]) }

// Fresh returns what is remembered, or nil and the generation for Read.
func (c *Cache) Fresh(h storage.Hash, now time.Time) (e *Entry, generation uint64) {
	e, fresh, generation := c.entries.Get(h, now)
	if !fresh {
		return nil, generation
	}
	return e, generation
}

// Read asks the store, and remembers the answer unless a Forget came since the
// generation. If the store cannot be reached, it is what was remembered before, for
// a while. bound tells whether the token belongs to a record with these contents. It
// returns storage.ErrNotFound, ErrOtherRecord or a store failure. The token may have
// expired while it is remembered.
func (c *Cache) Read(ctx context.Context, h storage.Hash, now time.Time, generation uint64, bound func(Contents) bool) (*Entry, error) {
	token, err := c.store.AccessToken(ctx, h, now)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		c.entries.Drop(h) // it must not come back when the store goes away
		return nil, err
	case err != nil:
		if e, ok := c.entries.Stale(h, now, storage.StaleFor(err)); ok {
			return e, nil
		}
		return nil, err
	}
	e := &Entry{ExpiresAt: token.ExpiresAt, Token: token, Caller: newCaller(h, &token)}
	if !bound(e.Caller.Contents) {
		c.entries.Drop(h)
		return nil, ErrOtherRecord
	}
	c.entries.Put(h, e, now, generation)
	return e, nil
}

// ErrOtherRecord: the record of a token is not the one that was made with it. The token
// was made by an earlier version, or somebody changed the store.
var ErrOtherRecord = errors.New("tokens: the record is not that of the token")

// Stats tells how often it spared the store.
func (c *Cache) Stats() cache.Stats { return c.entries.Stats() }

// Forget drops what a revocation ended. It is called after the store has
// committed the revocation.
func (c *Cache) Forget(r storage.Revocation) {
	for _, h := range r.AccessTokens {
		c.entries.Forget(h)
	}
	for _, id := range r.GrantIDs {
		c.grants.Forget(id)
	}
}

// Grant is a grant, and until when tokens of it can be good.
type Grant struct {
	storage.Grant
	GoodUntil time.Time
}

// ReadGrant returns what read says of a grant, from the store. If the store cannot
// be reached, it is what was said before, for a while.
func (c *Cache) ReadGrant(id string, now time.Time, read func() (*Grant, error)) (*Grant, error) {
	_, _, generation := c.grants.Get(id, now)
	g, err := read()
	if err == nil {
		c.grants.Put(id, g, now, generation)
		return g, nil
	}
	if stale := storage.StaleFor(err); stale > 0 {
		if g, ok := c.grants.Stale(id, now, stale); ok {
			return g, nil
		}
		return nil, err
	}
	c.grants.Drop(id)
	return nil, err
}

// ForgetPeople drops what was read with what was said of these people before. It
// looks at every entry: people change seldom.
func (c *Cache) ForgetPeople(people map[storage.Subject]bool) {
	c.forgetOf(func(issuer, subject string) bool { return people[storage.Subject{Issuer: issuer, Subject: subject}] })
}

// ForgetAll drops everything, when nobody knows what changed.
func (c *Cache) ForgetAll() { c.forgetOf(func(string, string) bool { return true }) }

// forgetOf drops the tokens and grants of some people.
func (c *Cache) forgetOf(these func(issuer, subject string) bool) {
	c.entries.ForgetWhere(func(_ storage.Hash, e *Entry) bool { return these(e.Token.Issuer, e.Token.Identity.Subject) })
	c.grants.ForgetWhere(func(_ string, g *Grant) bool { return these(g.Issuer, g.Identity.Subject) })
}

// Revoked drops a token that was revoked while its grant stays valid. The store keeps
// nothing of it, so it is remembered for those who ask after it would have
// expired, see WasRevoked.
func (c *Cache) Revoked(h storage.Hash) {
	c.entries.Forget(h)
	last := c.lastRevoked(h)
	last.mu.Lock()
	defer last.mu.Unlock()
	last.hashes[last.oldest] = h
	last.oldest = (last.oldest + 1) % len(last.hashes)
}

// WasRevoked reports whether Revoked was told of the token lately.
func (c *Cache) WasRevoked(h storage.Hash) bool {
	last := c.lastRevoked(h)
	last.mu.Lock()
	defer last.mu.Unlock()
	return slices.Contains(last.hashes[:], h)
}

func (c *Cache) lastRevoked(h storage.Hash) *lastRevoked {
	return &c.revoked[int(h[0])%len(c.revoked)]
}
