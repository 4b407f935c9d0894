package gate

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Recheck reports whether the caller of an answer that is still being sent, such
// as an event stream, would still pass. It does not while the store fails, but for
// what the cache may go on with while the store cannot be reached.
//
// A token that was revoked ends it. One that merely expired does not: the
// client gets new ones as long as its grant is valid, and cannot give them to a
// stream that is open. From then on the grant decides, unless the token was
// revoked shortly before.
func (g *Gate) Recheck(c *tokens.Caller) bool { return g.Still(c) != nil }

// Still is Recheck, and returns the caller with what is known of their identity by now
// and what they may use; nil if they would not pass.
func (g *Gate) Still(c *tokens.Caller) *tokens.Caller {
	found := g.current()
	if key := g.keyCaller(found, c.TokenHash); key != nil {
		if key.Holder != c.Holder || g.checkKey(key) != nil { // the key may have another's name by now
			return nil
		}
		return &key.Caller
	}
	if !g.deps.Now().Before(c.ExpiresAt) {
		if g.deps.Cache.WasRevoked(c.TokenHash) {
			return nil
		}
		return g.grantPasses(c)
	}
	now, err := g.judge(context.Background(), found, c.TokenHash, "", c)
	if err != nil {
		return nil
	}
	return now
}

// grantPasses returns the caller of a new token of the grant, with the scope of the old
// one, if that would pass.
func (g *Gate) grantPasses(c *tokens.Caller) *tokens.Caller {
	now := g.deps.Now()
	grant, err := g.deps.Cache.ReadGrant(c.GrantID, now, func() (*tokens.Grant, error) { return g.readGrant(c, now) })
	if err != nil || grant.Issuer != g.deps.Config.Issuer || !now.Before(grant.GoodUntil) {
		return nil
	}
	scope := strings.Fields(c.Scope)
	if !g.deps.Policy.Admits(g.server, grant.Issuer, grant.Identity, grant.Resources) ||
		slices.ContainsFunc(g.server.Scopes, func(needed string) bool { return !slices.Contains(scope, needed) }) {
		return nil
	}
	still := *c
	still.Identity, still.Choices = grant.Identity, access.NewChoices(grant.Chosen)
	return &still
}

// readGrant returns the grant of a caller, which is good now.
func (g *Gate) readGrant(c *tokens.Caller, now time.Time) (*tokens.Grant, error) {
	grant, err := g.deps.Store.Grant(context.Background(), c.GrantID, now)
	switch {
	case err != nil:
		return nil, err
	case !grant.RevokedAt.IsZero() || grant.Issuer != g.deps.Config.Issuer: // GoodUntil ends grants: only this issuer's
		return nil, storage.ErrNotFound
	}
	until, err := g.deps.Grants.GoodUntil(context.Background(), &grant)
	if err != nil {
		return nil, err
	}
	if until.IsZero() || grant.ExpiresAt.Before(until) {
		until = grant.ExpiresAt
	}
	return &tokens.Grant{Grant: grant, GoodUntil: until}, nil
}
