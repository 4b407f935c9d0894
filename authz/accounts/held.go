package accounts

import (
	"context"
	"time"

	"go.uber.org/zap"

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

// held is a connection as it was read, opened. It is never changed once others
// can see it.
type held struct {
	// What each call reads comes first, on one line of the processor's cache.

	// server is the configuration it was opened under: with another one, the
	// same record can mean another credential, or none.
	server *Server
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

	// retryAt is when the provider, or the server about a refusal, is asked
	// again after it could not answer. Until keptUntil, a refusal is laid to the
	// call and not to the credential, which came after a refusal or was confirmed
	// after one. Only this process knows.
	retryAt, keptUntil time.Time
}

// refusal returns what to make of another refusal without asking anybody; nil
// if somebody is to be asked. h may be nil.
func (h *held) refusal(c *Credential, now time.Time) error {
	switch {
	case h == nil || !sameCredential(h.credential, c):
		return nil
	case now.Before(h.retryAt):
		return ErrUnavailable
	case now.Before(h.keptUntil):
		return ErrRefused
	}
	return nil
}

// believed reports whether the store need not be asked about the server's
// connection. h may be nil.
func (h *held) believed(s *Server, now time.Time) bool {
	if h == nil || h.server != s {
		return false
	}
	age := now.Sub(h.readAt)
	return age >= 0 && age <= belief
}

// due reports whether something is to be done before the credential is used.
func (h *held) due(now time.Time) bool { return reached(h.dueAt, now) }

// urgent reports whether a call should wait until it is done.
func (h *held) urgent(now time.Time) bool { return reached(h.urgentAt, now) }

// works reports whether the credential may still be used, as far as we know.
func (h *held) works(now time.Time) bool { return h.credential != nil && !reached(h.endsAt, now) }

func reached(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// hold opens a connection that was just read. What was held before spares that
// when the record is the same.
func (b *Broker) hold(ctx context.Context, s *Server, c storage.Connection, before *held, now time.Time) (*held, error) {
	if before != nil && before.server == s && before.id == c.ID && before.revision == c.Revision && before.updatedAt.Equal(c.UpdatedAt) {
		h := *before
		h.readAt = now
		return &h, nil
	}
	h, opened, err := b.openHeld(s, c, now)
	if err == nil && h.credential != nil && !b.deps.Keys.Current(c.Secret) {
		b.rewrap(ctx, c, opened, now)
	}
	return h, err
}

// rewrap seals credentials with the key that seals now, so that the one that
// did can leave the ring once everybody has called. It is tried at each read,
// so a failure matters to nobody; and never while somebody refreshes, since
// that seals anew, and a change would end the lease.
func (b *Broker) rewrap(ctx context.Context, c storage.Connection, opened secrets, now time.Time) {
	if c.Lease != "" {
		return
	}
	c.Secret = b.sealSecrets(c.ConnectionKey, c.ID, opened)
	_, _, err := b.deps.Store.PutConnection(ctx, c, now)
	if err != nil {
		b.log.Error("sealing a connection with the current key failed", zap.String("connection", c.ID), zap.Error(err))
	}
}

// openHeld opens a connection, as far as it has anything to be used.
func (b *Broker) openHeld(s *Server, c storage.Connection, now time.Time) (*held, secrets, error) {
	if c.State != storage.Active && c.State != storage.InDoubt {
		return newHeld(s, c, now), secrets{}, nil
	}
	opened, err := b.openConnection(c)
	if err != nil {
		return nil, secrets{}, err
	}
	return s.holdOpened(c, opened, now), opened, nil
}

func newHeld(s *Server, c storage.Connection, now time.Time) *held {
	return &held{server: s, id: c.ID, revision: c.Revision, updatedAt: c.UpdatedAt, readAt: now, state: c.State}
}

// holdOpened returns what is held of a connection with these secrets.
func (s *Server) holdOpened(c storage.Connection, opened secrets, now time.Time) *held {
	h := newHeld(s, c, now)
	h.credential = s.credentialOf(opened)
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
		if s.reusable(opened) {
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

// credentialOf returns what a call carries, or nil if the secrets are not of
// the kind that the server is configured for.
func (s *Server) credentialOf(opened secrets) *Credential {
	if opened.Link.Origin != s.origin() {
		return nil // the operator put something else in the server's place
	}
	if s.Mode != PerUserHeaders {
		if opened.AccessToken == "" {
			return nil
		}
		return &Credential{Link: opened.Made, Headers: []CredentialHeader{{Name: "Authorization", Value: "Bearer " + opened.AccessToken}}}
	}
	if len(opened.Headers) != len(s.Headers) {
		return nil
	}
	for i, h := range s.Headers {
		if !sameHeaderName(h.Name, opened.Headers[i].Name) {
			return nil
		}
	}
	return &Credential{Link: opened.Made, Headers: opened.Headers}
}
