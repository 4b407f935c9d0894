package accounts

import (
	"errors"
	"hash/maphash"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
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
func newCachedConnection(s *config.Server, c storage.Connection) *cachedConnection {
	return &cachedConnection{server: s, id: c.ID, revision: c.Revision, updatedAt: c.UpdatedAt, state: c.State}
}

// cacheConnection returns a connection with these secrets for the cache.
func cacheConnection(s *config.Server, c storage.Connection, opened secrets) *cachedConnection {
	h := newCachedConnection(s, c)
	h.credential = credentialOf(s, opened)
	if h.credential == nil {
		// The operator changed how the server is connected.
		h.state = storage.NeedsReauth
		return h
	}
	h.credential.Connection, h.credential.Scopes = c.ID, c.Scopes
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

// isLost reports whether only its person can make it work again.
func (h *cachedConnection) isLost(now time.Time) bool {
	if h.credential != nil && h.state == storage.Active {
		return false
	}
	_, err := h.use(now)
	return errors.Is(err, ErrNeedsReauth)
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

// newConnectionCache returns the bounded memory of decrypted connections in front
// of a store.
func newConnectionCache() *cache.Cache[storage.ConnectionKey, *cachedConnection] {
	seed := maphash.MakeSeed()
	return cache.New[storage.ConnectionKey, *cachedConnection](cacheSize, cacheTTL, func(k storage.ConnectionKey) uint64 {
		return maphash.String(seed, k.Owner)
	})
}
