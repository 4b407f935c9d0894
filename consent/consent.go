package consent

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Paths of the forms.
const (
	keyPath       = authz.ConsentFormsPath + "vk"
	userIDPath    = authz.ConsentFormsPath + "user-id"
	anonymousPath = authz.ConsentFormsPath + "skip"
	caddyPath     = authz.ConsentFormsPath + "caddy"
	submitPath    = authz.ConsentFormsPath + "submit"
)

// flows is what the pages need of an authorization server.
type flows interface {
	Config() *authz.Config
	OpenFlow(r *http.Request, flowID string) (*authz.Flow, error)
	Servers(f *authz.Flow) []authz.Server
	AllowKeyAttempt(r *http.Request, f *authz.Flow) bool
	Identify(ctx context.Context, f *authz.Flow, id storage.Identity) error
	Approve(ctx context.Context, f *authz.Flow, resources []string) (string, error)
	Deny(ctx context.Context, f *authz.Flow) (string, error)
}

// Consent walks a person through the flows of one authorization server.
type Consent struct {
	as    flows
	pages *Pages
	log   *zap.Logger
	site  string // the issuer's host, as people see it
	cross http.CrossOriginProtection
}

// New returns the consent pages of the authorization server.
func New(as *authz.AuthorizationServer, pages *Pages, log *zap.Logger) *Consent {
	return newConsent(as, pages, log)
}

func newConsent(as flows, pages *Pages, log *zap.Logger) *Consent {
	c := &Consent{as: as, pages: pages, log: log}
	if u, err := url.Parse(as.Config().Issuer); err == nil {
		c.site = hostOf(u)
	}
	return c
}

// Routes returns the endpoints, each to be served at the site's root.
func (c *Consent) Routes() []authz.Route {
	return []authz.Route{
		{Path: authz.ConsentPath, Handler: c.page(c.showIdentity)},
		{Path: authz.ServicesPath, Handler: c.page(c.showServices)},
		{Path: keyPath, Handler: c.form(c.acceptKey)},
		{Path: userIDPath, Handler: c.form(c.acceptUserID)},
		{Path: anonymousPath, Handler: c.form(c.acceptAnonymous)},
		{Path: caddyPath, Handler: c.form(c.acceptCaddyUser)},
		{Path: submitPath, Handler: c.form(c.submit)},
	}
}

// offers reports whether the operator configured this kind of identity.
func (c *Consent) offers(kind identity.Kind) bool {
	return slices.Contains(c.as.Config().Identities, kind)
}

// pageURL returns the address of one of the two pages for a flow. The flow_id
// is sealed and worthless in any other browser.
func pageURL(path string, f *authz.Flow, code string) string {
	query := url.Values{"flow_id": {f.SealedID}}
	if code != "" {
		query.Set("error", code)
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
