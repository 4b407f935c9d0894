package accounts

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// refreshAhead and urgentAhead are how long before its end a token is
	// refreshed, and from when on calls wait for that. Both are at most a
	// fifth of the lifetime.
	refreshAhead = time.Minute
	urgentAhead  = 5 * time.Second
	// assumedLifetime is for a token with a refresh token whose provider does
	// not say how long it lives.
	assumedLifetime = time.Hour
)

// cachedConnection is a connection as it was read, decrypted. It is never
// changed once others can see it.
type cachedConnection struct {
	// What each call reads comes first, on one line of the processor's cache.

	// server is the configuration it was opened under: with another one, the
	// same record can mean another credential, or none.
	server *config.Server
	// credential is nil unless state is Active or InDoubt.
	credential *Credential
	readAt     time.Time
	// dueAt is when the credential is to be refreshed, or given up; with one in
	// doubt, when its refresh token may be sent again. urgentAt is
	// when calls begin to wait for that; endsAt when it stops working. Each is
	// zero for never.
	dueAt time.Time
	state storage.ConnectionState

	urgentAt, endsAt time.Time

	// id, revision and updatedAt say which version of the record it is.
	id        string
	revision  uint64
	updatedAt time.Time

	// retryAt is when the provider, or the server about a 401, is asked again
	// after it could not answer. Until trustedUntil, a 401 is about the call
	// and not the credential, which was refreshed or confirmed after one.
	// Only this process knows.
	retryAt, trustedUntil time.Time
}

// newCachedConnection returns a connection of which nothing can be used.
func newCachedConnection(s *config.Server, c storage.Connection, now time.Time) *cachedConnection {
	return &cachedConnection{server: s, id: c.ID, revision: c.Revision, updatedAt: c.UpdatedAt, readAt: now, state: c.State}
}

// cacheConnection returns a connection with these secrets for the cache.
func cacheConnection(s *config.Server, c storage.Connection, opened secrets, now time.Time) *cachedConnection {
	h := newCachedConnection(s, c, now)
	h.credential = credentialOf(s, opened)
	if h.credential == nil {
		// The operator changed how the server is connected.
		h.state = storage.NeedsReauth
		return h
	}
	lifetime := assumedLifetime
	if h.endsAt = c.TokenExpiresAt; !h.endsAt.IsZero() {
		lifetime = max(0, h.endsAt.Sub(opened.IssuedAt))
	}
	switch {
	case mayRetry(c, opened):
		h.dueAt, h.urgentAt, h.retryAt = h.endsAt, h.endsAt, retryAt(c)
		if reusable(s, opened) {
			h.dueAt = h.retryAt
		}
	case c.State != storage.Active: // nothing can be done about it
	case opened.RefreshToken == "":
		h.dueAt, h.urgentAt = h.endsAt, h.endsAt
	case h.endsAt.IsZero():
		h.dueAt = opened.IssuedAt.Add(lifetime)
	default:
		h.dueAt = h.endsAt.Add(-min(refreshAhead, lifetime/5))
		h.urgentAt = h.endsAt.Add(-min(urgentAhead, lifetime/5))
	}
	return h
}

// fresh reports whether the store need not be asked about the server's
// connection. h may be nil.
func (h *cachedConnection) fresh(s *config.Server, now time.Time) bool {
	if h == nil || h.server != s {
		return false
	}
	age := now.Sub(h.readAt)
	return age >= 0 && age <= cacheTTL
}

// isOf reports whether it was made of this version of the record, under this
// configuration. h may be nil.
func (h *cachedConnection) isOf(s *config.Server, c storage.Connection) bool {
	return h != nil && h.server == s && h.id == c.ID && h.revision == c.Revision && h.updatedAt.Equal(c.UpdatedAt)
}

// due reports whether something is to be done before the credential is used.
func (h *cachedConnection) due(now time.Time) bool { return reached(h.dueAt, now) }

// urgent reports whether a call should wait until it is done.
func (h *cachedConnection) urgent(now time.Time) bool { return reached(h.urgentAt, now) }

// works reports whether the credential may still be used, as far as we know.
func (h *cachedConnection) works(now time.Time) bool {
	return h.credential != nil && !reached(h.endsAt, now)
}

func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// use returns the credential that there is no more to do about. One in doubt
// works until its end: only its refresh token may be spent.
func (h *cachedConnection) use(now time.Time) (*Credential, error) {
	if h.credential != nil && (h.state == storage.Active || h.state == storage.InDoubt && h.works(now)) {
		return h.credential, nil
	}
	if !h.retryAt.IsZero() { // in doubt, and the provider will be asked again
		return nil, ErrUnavailable
	}
	return nil, needsReauth(h.state)
}

// on401 returns what to make of another 401 to the credential without asking
// anybody; nil if somebody is to be asked. h may be nil.
func (h *cachedConnection) on401(c *Credential, now time.Time) error {
	switch {
	case h == nil || !sameCredential(h.credential, c):
		return nil
	case now.Before(h.retryAt):
		return ErrUnavailable
	case now.Before(h.trustedUntil):
		return ErrRefused
	}
	return nil
}

// credentialOf returns what a call carries, or nil if the secrets are not of
// the kind that the server is configured for.
func credentialOf(s *config.Server, opened secrets) *Credential {
	if opened.Binding.Origin != originOf(s) {
		return nil // the operator put something else in the server's place
	}
	if s.Auth.Mode != config.PerUserHeaders {
		if opened.AccessToken == "" {
			return nil
		}
		return &Credential{Epoch: opened.Epoch, Headers: []CredentialHeader{{Name: "Authorization", Value: "Bearer " + opened.AccessToken}}}
	}
	if len(opened.Headers) != len(s.Auth.Headers) {
		return nil
	}
	for i, h := range s.Auth.Headers {
		if !sameHeaderName(h.Name, opened.Headers[i].Name) {
			return nil
		}
	}
	return &Credential{Epoch: opened.Epoch, Headers: opened.Headers}
}

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

// forget drops what is cached of a connection that changed, and what is being
// read of it just now.
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
