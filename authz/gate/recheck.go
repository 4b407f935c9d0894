package gate

import (
	"context"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// Recheck reports whether the caller of an answer that is still being sent, such
// as an event stream, would still pass. It does not while the store fails.
//
// A token that was revoked ends it. One that merely expired does not: the
// client gets new ones as long as its grant is valid, and cannot give them to a
// stream that is open. From then on the grant decides, unless the token was
// revoked shortly before.
func (g *Gate) Recheck(c *tokens.Caller) bool {
	found := g.current()
	if key := g.keyCaller(found, c.TokenHash); key != nil {
		return key.Holder == c.Holder && g.checkKey(key) == nil // the key may have another's name by now
	}
	if !g.deps.Now().Before(c.ExpiresAt) {
		return !g.deps.Cache.WasRevoked(c.TokenHash) && g.grantPasses(c)
	}
	_, err := g.judge(context.Background(), found, c.TokenHash, "")
	return err == nil
}

// grantPasses reports whether a new token of the caller's grant, with the scope
// of the old one, would pass.
func (g *Gate) grantPasses(c *tokens.Caller) bool {
	grant, err := g.deps.Store.Grant(context.Background(), c.GrantID, g.deps.Now())
	if err != nil || !grant.RevokedAt.IsZero() || grant.Issuer != g.deps.Config.Issuer {
		return false // GoodUntil ends grants: only this issuer's
	}
	if _, err := g.deps.Grants.GoodUntil(context.Background(), &grant); err != nil {
		return false
	}
	scope := strings.Fields(c.Scope)
	return g.deps.Policy.Admits(g.server, grant.Issuer, grant.Identity, grant.Resources) &&
		!slices.ContainsFunc(g.server.Scopes, func(needed string) bool { return !slices.Contains(scope, needed) })
}
