package consent

import (
	"context"
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// parts lets the interfaces of this package see the parts of an authorization
// server as one. It goes with them.
type parts struct {
	*authz.AuthorizationServer
	*ratelimit.Attempts
}

func (p parts) ServersOf(id storage.Identity) []*config.Server { return p.Policy.ServersOf(id) }

func (p parts) Grants(ctx context.Context, subject string) ([]storage.Grant, error) {
	return p.AuthorizationServer.Grants.List(ctx, subject)
}

func (p parts) RevokeGrantOf(ctx context.Context, subject, grantID string) error {
	return p.AuthorizationServer.Grants.RevokeOf(ctx, subject, grantID)
}

func (p parts) ProvedAgain(ctx context.Context, id storage.Identity) error {
	return p.AuthorizationServer.Grants.ProvedAgain(ctx, id)
}

func (p parts) OpenFlow(r *http.Request, flowID string) (*authz.Flow, error) {
	return p.Flows.Open(r, flowID)
}

func (p parts) Servers(f *authz.Flow) []*config.Server { return p.Flows.Servers(f) }

func (p parts) Identify(ctx context.Context, f *authz.Flow, id storage.Identity) error {
	return p.Flows.Identify(ctx, f, id)
}

func (p parts) Approve(ctx context.Context, f *authz.Flow, a authz.Approval) (string, error) {
	return p.Flows.Approve(ctx, f, a)
}

func (p parts) ApproveAndSignIn(w http.ResponseWriter, r *http.Request, f *authz.Flow, a authz.Approval) (string, error) {
	return p.Flows.ApproveAndSignIn(w, r, f, a)
}

func (p parts) Deny(ctx context.Context, f *authz.Flow) (string, error) { return p.Flows.Deny(ctx, f) }

func (p parts) OpenBrowserSession(w http.ResponseWriter, r *http.Request) (*authz.Session, error) {
	return p.Sessions.Open(w, r)
}

func (p parts) SignIn(w http.ResponseWriter, r *http.Request, id storage.Identity) error {
	return p.Sessions.SignIn(w, r, id)
}

func (p parts) SignOut(w http.ResponseWriter, r *http.Request) error { return p.Sessions.SignOut(w, r) }

func (p parts) SignOutEverywhere(ctx context.Context, subject string) error {
	return p.Sessions.SignOutEverywhere(ctx, subject)
}

func (p parts) ForgetBrowser(w http.ResponseWriter) { p.Sessions.Forget(w) }

func (p parts) OpenConnectLink(ticket string) (*authz.ConnectLink, error) {
	return p.Links.Open(ticket)
}

func (p parts) CheckLinkUnused(ctx context.Context, link *authz.ConnectLink) error {
	return p.Links.CheckUnused(ctx, link)
}

func (p parts) CheckAuthentication(r *http.Request, s storage.Authentication, server string) error {
	return p.Sessions.CheckAuthentication(r, s, server)
}
