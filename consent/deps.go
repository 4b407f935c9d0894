package consent

import (
	"context"
	"net/http"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// flows are the pending authorization requests.
type flows interface {
	OpenFlow(r *http.Request, flowID string) (*authz.Flow, error)
	Servers(f *authz.Flow) []*config.Server
	Identify(ctx context.Context, f *authz.Flow, id storage.Identity) error
	Approve(ctx context.Context, f *authz.Flow, a authz.Approval) (string, error)
	ApproveAndSignIn(w http.ResponseWriter, r *http.Request, f *authz.Flow, a authz.Approval) (string, error)
	Deny(ctx context.Context, f *authz.Flow) (string, error)
}

// sessions are the browser sessions of the pages outside of flows.
type sessions interface {
	OpenBrowserSession(w http.ResponseWriter, r *http.Request) (*authz.Session, error)
	SignIn(w http.ResponseWriter, r *http.Request, id storage.Identity) error
	SignOut(w http.ResponseWriter, r *http.Request) error
	SignOutEverywhere(ctx context.Context, subject string) error
	ForgetBrowser(w http.ResponseWriter)
	ProvedAgain(ctx context.Context, id storage.Identity) error
	CheckAuthentication(r *http.Request, p storage.Authentication, server string) error
}

// grants are what people approved.
type grants interface {
	ServersOf(id storage.Identity) []*config.Server
	Grants(ctx context.Context, subject string) ([]storage.Grant, error)
	RevokeGrantOf(ctx context.Context, subject, grantID string) error
}

// links are those on which people connect a server.
type links interface {
	OpenConnectLink(ticket string) (*authz.ConnectLink, error)
	CheckLinkUnused(ctx context.Context, link *authz.ConnectLink) error
}

// limits bound how often something may be tried.
type limits interface {
	AllowWrongKey(r *http.Request, who string) bool
	AllowPastedKey(r *http.Request, who string) bool
	AllowUnproved(r *http.Request) bool
	AllowConnect(r *http.Request, who string) bool
}

type authorizationServer interface {
	Config() *config.Site
	flows
	sessions
	grants
	links
	limits
}

// broker is what the pages need of an accounts.Broker.
type broker interface {
	Server(id string) *accounts.Server
	RequestedScopes(ctx context.Context, server string) []string
	Start(ctx context.Context, t accounts.ConnectRequest) (authorizeURL string, err error)
	Finish(ctx context.Context, a accounts.Answer) (accounts.Outcome, error)
	SealAnswer(a accounts.Answer) string
	OpenAnswer(sealed string) (accounts.Answer, error)
	ConnectHeaders(ctx context.Context, owner, server string, values map[string]string, keepUntil time.Time, p storage.Authentication) error
	Status(ctx context.Context, owner string) ([]accounts.Status, error)
	Disconnect(ctx context.Context, owner, server string) error
}
