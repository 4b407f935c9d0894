package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// keepTokens stores what a trip brought back.
func (b *Broker) keepTokens(ctx context.Context, k storage.ConnectionKey, t trip, r *tokenReply) error {
	now := b.deps.Now()
	c := storage.Connection{
		ConnectionKey: k, Provider: t.Link.Provider, Scopes: r.Scopes, ExpiresAt: t.KeepUntil, UsesUp: t.usesUp(now),
	}
	if c.Scopes == nil {
		c.Scopes = t.Link.Scopes // RFC 6749 section 5.1: identical to the request
	}
	if r.ExpiresIn > 0 {
		c.TokenExpiresAt = now.Add(r.ExpiresIn)
	}
	return b.keep(ctx, c, t.Connection, secrets{
		AccessToken: r.AccessToken, RefreshToken: r.RefreshToken, IssuedAt: now, Link: t.Link, Person: t.Person,
	})
}

// keep stores new credentials as the owner's connection, in place of the one
// with the ID expected, if any. It does not bring back a connection that
// was ended in the meantime.
func (b *Broker) keep(ctx context.Context, c storage.Connection, expected string, s secrets) error {
	now := b.deps.Now()
	current, err := b.deps.Store.Connection(ctx, c.ConnectionKey, now)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	s.Made = uuid.NewString()
	c.OnExpiry = b.revocationOnExpiry(c, s)
	for {
		if expected != "" && current.ID != expected {
			if current.ID == "" { // what came now, the person has no other way to end
				b.revokeOrphan(ctx, b.servers[c.Server], s)
			}
			return problemf(TripEnded, "the connection was ended in the meantime")
		}
		c.ID, c.CreatedAt, c.Revision = current.ID, current.CreatedAt, current.Revision
		if c.ID == "" {
			c.ID, c.CreatedAt = uuid.NewString(), now
		}
		c.State, c.UpdatedAt, c.Lease, c.LeaseUntil = storage.Active, now, "", time.Time{}
		c.Secret = b.sealSecrets(c.ConnectionKey, c.ID, s)
		c.Revokes = b.revocationOfReplaced(current, s.Link)
		stored, verdict, err := b.deps.Store.PutConnection(ctx, c, now)
		if err != nil {
			return err
		}
		switch verdict {
		case storage.Burned:
			b.revokeLate(ctx, c.ConnectionKey, s)
			return errUsed
		case storage.OK:
			b.deps.Cache.Forget(c.ConnectionKey)
			if c.Revokes != nil {
				b.revokeSoon(ctx)
			}
			return nil
		}
		current = stored // somebody refreshed or connected at the same time
	}
}
