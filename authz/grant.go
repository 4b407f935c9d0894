package authz

import (
	"context"
	"slices"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// errInvalidGrant is the one answer for a code or refresh token that does not
// work, so that it tells nobody why (RFC 6749 section 5.2).
var errInvalidGrant = fail("invalid_grant", "The code or token is unknown, expired, used, or meant for another client.")

// identityStands reports whether the configuration still knows the identity:
// its kind is in use and, for a virtual key, the key was neither withdrawn nor
// replaced.
func (as *AuthorizationServer) identityStands(id storage.Identity) bool {
	if !slices.Contains(as.cfg.Identities, identity.Kind(id.Kind)) {
		return false
	}
	return id.Kind != string(identity.VirtualKey) || as.cfg.VirtualKeys.Stand(id)
}

// mayUse reports whether the identity may use the server.
func (as *AuthorizationServer) mayUse(id storage.Identity, s *Server) bool {
	if id.Kind != string(identity.VirtualKey) {
		return true
	}
	key := as.cfg.VirtualKeys.BySubject(id.Subject)
	return key != nil && key.Allows(s.ID)
}

// usableServers returns the servers of a grant that can still be used. Asked
// before every issue of tokens, it makes a grant end with what it rests on: an
// identity that was withdrawn, or a redirect URI that the client gave up, which
// may be in other hands now. A server that left the configuration ends
// nothing, it may come back.
func (as *AuthorizationServer) usableServers(ctx context.Context, c *Client, g *storage.Grant) ([]Server, error) {
	configured := as.serversOf(g.Resources)
	if len(configured) == 0 || !g.RevokedAt.IsZero() {
		return nil, errInvalidGrant
	}
	usable := slices.DeleteFunc(configured, func(s Server) bool { return !as.mayUse(g.Identity, &s) })
	var reason string
	switch {
	case !as.identityStands(g.Identity):
		reason = "its identity was withdrawn"
	case len(usable) == 0:
		reason = "its identity may use none of its servers any more"
	case !redirectURIAllowed(c.Metadata.RedirectURIs, g.RedirectURI):
		reason = "its client gave up its redirect URI"
	default:
		return usable, nil
	}
	if err := as.revokeGrant(ctx, g.ID); err != nil {
		return nil, err
	}
	as.log.Info("grant revoked", zap.String("reason", reason), zap.String("grant_id", g.ID), zap.String("client_id", g.ClientID))
	return nil, errInvalidGrant
}

// revokeGrant ends a grant with all its tokens.
func (as *AuthorizationServer) revokeGrant(ctx context.Context, id string) error {
	revocation, err := as.deps.Store.RevokeGrant(ctx, id, as.deps.Now())
	if err != nil {
		return unavailable(err)
	}
	as.deps.Tokens.Forget(revocation)
	return nil
}

// audience returns the servers a token shall be good for: the one that the
// request names or, when it names none, all that the person chose. A client
// that named resources when it asked for the grant gets one per token (RFC
// 8707 section 2.2).
func (as *AuthorizationServer) audience(g *storage.Grant, usable []Server, requested []string) ([]Server, error) {
	resources, err := as.resolveResources(requested)
	if err != nil {
		return nil, err
	}
	if len(resources) == 0 {
		if len(usable) > 1 && g.ResourcesRequested {
			return nil, fail("invalid_target", "The grant is for several resources: name one.")
		}
		return usable, nil
	}
	if len(resources) > 1 {
		return nil, fail("invalid_target", "A token is for one resource: name one.")
	}
	i := slices.IndexFunc(usable, func(s Server) bool { return s.Resource == resources[0] })
	if i < 0 {
		return nil, fail("invalid_target", "The resource exceeds what was granted.")
	}
	return usable[i : i+1], nil
}

// replayed reports that a code or refresh token was used again. The store has
// revoked its grant, unless that had ended before.
func (as *AuthorizationServer) replayed(what, clientID string, grantIDs []string) {
	if len(grantIDs) == 0 {
		as.log.Warn(what+" reuse detected; its grant had ended before", zap.String("client_id", clientID))
		return
	}
	as.log.Warn(what+" reuse detected; grant revoked", zap.String("client_id", clientID), zap.Strings("grant_ids", grantIDs))
}
