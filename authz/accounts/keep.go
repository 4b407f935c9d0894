package accounts

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errEnded = problemf(TripEnded, "the connection was ended in the meantime")

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
	return b.keep(ctx, c, t.Authentication, t.Seen, secrets{
		AccessToken: r.AccessToken, RefreshToken: r.RefreshToken, IssuedAt: now, Link: t.Link,
	})
}

// keep stores new credentials as the owner's connection, if the person is still
// there, in place of the one that they saw, if any: it neither brings back a
// connection that was ended in the meantime, nor replaces one that was made.
// The provider is told of credentials that are not kept.
func (b *Broker) keep(ctx context.Context, c storage.Connection, p storage.Authentication, before seen, s secrets) error {
	now := b.deps.Now()
	current, err := b.find(ctx, c.ConnectionKey)
	if err != nil {
		return err
	}
	s.Made = uuid.NewString()
	if p != (storage.Authentication{}) {
		c.Authentication = &p
	}
	if p.FlowID != "" {
		s.Person, s.Persons = p.Identity.Subject, before.Persons
	}
	c.LastDisconnect = &before.Disconnect
	c.OnExpiry = b.revocationOnExpiry(c, s)
	for {
		if current.ID != before.Connection {
			b.revokeUnkept(ctx, c, s, current.ID == "")
			return b.whyUnkept(ctx, c, current)
		}
		c.ID, c.CreatedAt, c.Revision = current.ID, current.CreatedAt, current.Revision
		if c.ID == "" {
			c.ID, c.CreatedAt = uuid.NewString(), now
		}
		c.State, c.UpdatedAt, c.Lease, c.LeaseUntil = storage.Active, now, "", time.Time{}
		c.Secret = b.sealSecrets(c.ConnectionKey, c.ID, s)
		if c.Revokes = b.revocationOfReplaced(current, s.Link); c.Revokes != nil {
			b.handOut(c.Revokes)
		}
		stored, verdict, err := b.deps.Store.PutConnection(ctx, c, now)
		if err != nil {
			return err
		}
		switch verdict {
		case storage.AlreadyUsed:
			b.revokeUnkept(ctx, c, s, false)
			return errUsed
		case storage.SignedOut:
			b.revokeUnkept(ctx, c, s, false)
			return errLeft
		case storage.DisconnectedSince:
			b.revokeUnkept(ctx, c, s, stored.ID == "")
			return errEnded
		case storage.OK:
			b.deps.Cache.Forget(c.ConnectionKey)
			if c.Revokes != nil {
				b.revokeNow(ctx, c.Revokes)
			}
			return nil
		}
		current = stored // somebody refreshed or connected at the same time
	}
}

// whyUnkept returns what became of the connection that the person saw.
func (b *Broker) whyUnkept(ctx context.Context, c, current storage.Connection) error {
	if c.UsesUp != nil {
		if err := b.checkUnused(ctx, c.UsesUp.Hash); err != nil {
			return err
		}
	}
	if current.ID == "" {
		return errEnded
	}
	return problemf(Replaced, "another connection was made in the meantime")
}
