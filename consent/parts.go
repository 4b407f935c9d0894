package consent

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// parts lets the interfaces of this package see the parts of an authorization
// server as one. It goes with them.
type parts struct{ *authz.AuthorizationServer }

func (p parts) ServersOf(id storage.Identity) []authz.Server { return p.Policy.ServersOf(id) }

func (p parts) Grants(ctx context.Context, subject string) ([]storage.Grant, error) {
	return p.AuthorizationServer.Grants.List(ctx, subject)
}

func (p parts) RevokeGrantOf(ctx context.Context, subject, grantID string) error {
	return p.AuthorizationServer.Grants.RevokeOf(ctx, subject, grantID)
}

func (p parts) ProvedAgain(ctx context.Context, id storage.Identity) error {
	return p.AuthorizationServer.Grants.ProvedAgain(ctx, id)
}
