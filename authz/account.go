package authz

import (
	"context"
	"errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrNoSuchGrant: the person has no such grant, or no more.
var ErrNoSuchGrant = errors.New("authz: no such grant") // 404

// ServersOf returns the MCP servers an identity may use.
func (as *AuthorizationServer) ServersOf(id storage.Identity) []Server {
	var servers []Server
	for _, s := range as.cfg.Servers {
		if as.mayUse(id, &s) {
			servers = append(servers, s)
		}
	}
	return servers
}

// Grants returns what a person approved and did not take back, oldest first.
func (as *AuthorizationServer) Grants(ctx context.Context, subject string) ([]storage.Grant, error) {
	grants, err := as.deps.Store.GrantsOf(ctx, as.cfg.Issuer, subject, as.deps.Now())
	if err != nil {
		return nil, unavailable(err)
	}
	return grants, nil
}

// RevokeGrantOf ends a grant of the subject with all its tokens. Whether a
// grant of somebody else exists is not told.
func (as *AuthorizationServer) RevokeGrantOf(ctx context.Context, subject, grantID string) error {
	g, err := as.deps.Store.Grant(ctx, grantID, as.deps.Now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return ErrNoSuchGrant
	case err != nil:
		return unavailable(err)
	case g.Issuer != as.cfg.Issuer || g.Identity.Subject != subject:
		return ErrNoSuchGrant
	}
	return as.revokeGrant(ctx, g.ID)
}
