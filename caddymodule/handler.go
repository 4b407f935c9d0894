package caddymodule

import (
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
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
	config.Site

	app        *App
	log        *zap.Logger
	cfg        *config.Site     // resolved
	clients    []clients.Client // pre-registered
	host       *neighbours.Host
	forwarders []gateway.Forwarder // one per server
	user       string              // the placeholder of the user of another handler; empty if that is no way to sign in
	logged     bool                // the access log is on

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

// UnmarshalJSON names the field of what it cannot read.
func (h *Handler) UnmarshalJSON(data []byte) error {
	type plain Handler
	return config.Decode(data, (*plain)(h))
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
