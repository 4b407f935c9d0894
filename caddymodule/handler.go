package caddymodule

import (
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is an OAuth 2.1 authorization server for one site, and the gate and
// reverse proxy in front of its MCP servers. Requests for other paths go to
// the next handler.
//
// It sets placeholders on each call of an MCP server:
//
// Placeholder | Description
// ------------|-------------
// `{http.auth.user.id}` | Who calls: the kind of identity, a colon, the name
// `{http.mcp_oauth.server}` | The id of the MCP server
// `{http.mcp_oauth.client_id}` | The OAuth client; empty for a virtual key
// `{http.mcp_oauth.grant_id}` | The grant the call rests on
// `{http.mcp_oauth.scope}` | The scopes of the token
//
// The access log gets the fields `mcp_server` and `mcp_client`.
type Handler struct {
	// PublicURL is the URL of the site as people and clients see it: scheme
	// and host, no path. https, except on loopback. It is the issuer of all
	// tokens, so changing it ends them. In a Caddyfile it defaults to the
	// address of the site; it is never taken from a request.
	PublicURL string `json:"public_url,omitempty"`
	// Identities are the ways to sign in, in the order people see them. At
	// least one.
	Identities []Identity `json:"identities,omitempty"`
	// VirtualKeys of people and programs.
	VirtualKeys []VirtualKey `json:"virtual_keys,omitempty"`
	// Clients known beforehand. All others register themselves, see Registration.
	Clients []Client `json:"clients,omitempty"`
	// Servers are the MCP servers behind the site, in the order people see
	// them. At least one.
	Servers []Server `json:"servers,omitempty"`
	// Scopes describes scopes to people, in their order.
	Scopes []Scope `json:"scopes,omitempty"`

	// AccessTokenLifetime is how long an access token lives that can be
	// refreshed. Default: 1h.
	AccessTokenLifetime caddy.Duration `json:"access_token_lifetime,omitempty"`
	// RefreshTokenLifetime is how long a refresh token lives unused. Default: 30d.
	RefreshTokenLifetime caddy.Duration `json:"refresh_token_lifetime,omitempty"`
	// GrantLifetime ends a grant without refresh token, and with it its one
	// access token: that of a client which registered without the grant type
	// refresh_token. Default: 24h.
	GrantLifetime caddy.Duration `json:"grant_lifetime,omitempty"`
	// AbsoluteGrantLifetime ends any other grant, however active. Default: 90d.
	AbsoluteGrantLifetime caddy.Duration `json:"absolute_grant_lifetime,omitempty"`
	// FlowLifetime is how long a person may take to sign in. Default: 15m.
	FlowLifetime caddy.Duration `json:"flow_lifetime,omitempty"`
	// CodeLifetime is how long a client may take to fetch its tokens. Default: 5m.
	CodeLifetime caddy.Duration `json:"code_lifetime,omitempty"`
	// RefreshReuseGrace is how long a client that lost the response to a
	// refresh can ask again and get the same one; 0 takes any repetition for
	// theft. Default: 1m.
	RefreshReuseGrace *caddy.Duration `json:"refresh_reuse_grace,omitempty"`

	// ServiceDocumentation is the http or https URL of a page about this site, for
	// people who program clients. Clients find it in the metadata of the
	// authorization server (RFC 8414).
	ServiceDocumentation string `json:"service_documentation,omitempty"`
	// Registration is the policy for clients nobody knows beforehand.
	Registration *Registration `json:"registration,omitempty"`
	// AllowedOrigins are web origins, such as `https://app.example.com` or
	// `chrome-extension://<id>`, whose pages may call the MCP servers, besides
	// this site's and loopback ones. They are compared byte for byte.
	AllowedOrigins []string `json:"allowed_origins,omitempty"`
	// Branding adapts the pages people see.
	Branding *Branding `json:"branding,omitempty"`
	// InsecureAllowLoopback lets client metadata documents and what upstream
	// servers name, such as their providers, be fetched from loopback addresses
	// and over http. For development: only with a loopback public URL.
	InsecureAllowLoopback bool `json:"insecure_allow_loopback,omitempty"`

	app         *App
	log         *zap.Logger
	cfg         authz.Config
	connections accounts.Config
	host        string // of PublicURL
	owned       *ownedPaths
	upstreams   []*upstream // one per server
	user        string      // the placeholder of the user of another handler; empty if that is no way to sign in
	logged      bool        // the access log is on

	building sync.Mutex
	site     atomic.Pointer[site]
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.mcp_oauth",
		New: func() caddy.Module { return new(Handler) },
	}
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
