package consent

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// flows is what the pages of a flow need of an authorization server.
type flows interface {
	Config() *authz.Config
	OpenFlow(r *http.Request, flowID string) (*authz.Flow, error)
	Servers(f *authz.Flow) []authz.Server
	AllowWrongKey(r *http.Request, who string) bool
	AllowPastedKey(r *http.Request, who string) bool
	AllowUnproved(r *http.Request) bool
	AllowTrip(r *http.Request, who string) bool
	Identify(ctx context.Context, f *authz.Flow, id storage.Identity) error
	Approve(ctx context.Context, f *authz.Flow, a authz.Approval) (string, error)
	ApproveAndSignIn(w http.ResponseWriter, r *http.Request, f *authz.Flow, a authz.Approval) (string, error)
	Deny(ctx context.Context, f *authz.Flow) (string, error)
}

// accountPages is what the pages outside of flows need of it.
type accountPages interface {
	OpenBrowserSession(w http.ResponseWriter, r *http.Request) (*authz.Session, error)
	SignIn(w http.ResponseWriter, r *http.Request, id storage.Identity) error
	SignOut(w http.ResponseWriter, r *http.Request) error
	SignOutEverywhere(ctx context.Context, subject string) error
	ForgetBrowser(w http.ResponseWriter)
	ServersOf(id storage.Identity) []authz.Server
	Grants(ctx context.Context, subject string) ([]storage.Grant, error)
	RevokeGrantOf(ctx context.Context, subject, grantID string) error
	OpenConnectLink(ticket string) (*authz.ConnectLink, error)
	CheckLinkUnused(ctx context.Context, link *authz.ConnectLink) error
	ProvedAgain(ctx context.Context, id storage.Identity) error
	CheckAuthentication(r *http.Request, p storage.Authentication, server string) error
}

type authorizationServer interface {
	flows
	accountPages
}

// Consent walks people through the pages of one authorization server.
type Consent struct {
	as     authorizationServer
	broker broker // nil if people connect nothing
	pages  *Pages
	log    *zap.Logger
	site   string // the issuer's host, as people see it
	cross  http.CrossOriginProtection
	// linkUsed is told the ticket of each link with which somebody connected a
	// server; nil if nobody waits for that.
	linkUsed func(ticket string)
}

// New returns the pages of the authorization server. The broker may be nil.
// linkUsed is told the ticket of each link with which somebody connected a
// server.
func New(as *authz.AuthorizationServer, b *accounts.Broker, pages *Pages, log *zap.Logger, linkUsed func(ticket string)) *Consent {
	if b == nil {
		return newConsent(parts{as}, nil, pages, log)
	}
	c := newConsent(parts{as}, b, pages, log)
	c.linkUsed = linkUsed
	return c
}

func newConsent(as authorizationServer, b broker, pages *Pages, log *zap.Logger) *Consent {
	c := &Consent{as: as, broker: b, pages: pages, log: log}
	if u, err := url.Parse(as.Config().Issuer); err == nil {
		c.site = hostOf(u)
	}
	return c
}

// offers reports whether the operator configured this kind of identity.
func (c *Consent) offers(kind identity.Kind) bool {
	return slices.Contains(c.as.Config().Identities, kind)
}

// pageURL returns the address of a page for a flow, with further parameters.
// The flow_id is sealed and worthless in any other browser.
func pageURL(path string, f *authz.Flow, code string, more ...string) string {
	return withQuery(path, append([]string{"flow_id", f.SealedID, "error", code}, more...)...)
}

// withQuery returns a path of ours with parameters, names and values in turn.
// Those without a value are left out.
func withQuery(path string, pairs ...string) string {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// redirect sends the browser on with 303: the form and what was typed into it
// stay behind (RFC 9700 section 4.12). The URL is written as it is, since it may
// belong to an app rather than to the web.
func (c *Consent) redirect(w http.ResponseWriter, url string) {
	c.pages.protect(w.Header())
	w.Header().Set("Location", url)
	w.WriteHeader(http.StatusSeeOther)
}
