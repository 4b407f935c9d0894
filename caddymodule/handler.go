package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/audit"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/landing"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
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
// `{http.mcp_oauth.account}` | The name of the account there, where a person can have several; empty for the one at the path of the server
// `{http.mcp_oauth.client_id}` | The OAuth client; empty for a virtual key
// `{http.mcp_oauth.grant_id}` | The grant the call rests on
// `{http.mcp_oauth.scope}` | The scopes of the token
// `{http.mcp_oauth.email}` | The verified e-mail address of who calls, if their identity provider says one
// `{http.mcp_oauth.groups}` | Their groups there, with commas between them
// `{http.mcp_oauth.name}` | Their name there; others may have the same
//
// The access log gets the fields `mcp_server` and `mcp_client`.
type Handler struct {
	config.Site

	app        *App
	log        *zap.Logger
	events     *event.Recorder
	audit      *audit.Log       // nil if there is none
	cfg        *config.Site     // resolved
	clients    []clients.Client // pre-registered
	pages      *pages.Pages
	landing    *landing.Landing
	host       *neighbours.Host
	forwarders []gateway.Forwarder // one per server
	user       string              // the placeholder of the user of another handler; empty if that is no way to sign in
	logged     bool                // the access log is on
	traced     bool                // requests may be traced
	unmatched  sync.Map            // lists of servers by which access rules were checked

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

// Provision checks the configuration and sets up the proxies. The store is
// opened later, see App.Start.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	h.app = app.(*App)
	if err := h.provision(ctx); err != nil {
		return fmt.Errorf("mcp_oauth: %w", adapted.locate(h, err))
	}
	h.host.RejectElsewhere(ctx, func(r *http.Request) { h.events.Record(h.events.Of(r), h.misdirected(r).happened) })
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	h.logged = ok && server.Logs != nil
	h.traced = ok && neighbours.Traces(server)
	neighbours.WarnOfSecretsInLogs(ctx, h.cfg.Host(), len(h.cfg.ConnectedServers()) > 0, h.log)
	h.warn()
	if fix := neighbours.MissingUser(ctx, h.user); fix != "" {
		h.log.Warn("nobody can sign in with identity caddy: no other handler of this server authenticates; " + fix)
	}
	return nil
}

func (h *Handler) provision(ctx caddy.Context) (err error) {
	if h.cfg, h.clients, err = resolveSite(&h.Site, placeholders.Replace); err != nil {
		return err
	}
	h.events = h.newRecorder()
	if err := h.openAudit(ctx); err != nil {
		return err
	}
	if err := h.brand(); err != nil {
		return err
	}
	h.host, h.user = neighbours.NewHost(h.cfg), h.cfg.UserPlaceholder()
	// Before a proxy is loaded, which may start to check health at once: Caddy
	// loads every module of this context into the place of the one before.
	if h.app.sites.first(h) == nil { // copies may share the work
		if err := neighbours.CheckArrival(ctx, h.cfg, h.PublicURL); err != nil {
			return err
		}
	}
	for i, s := range h.cfg.Servers {
		forwarder, err := gateway.NewForwarder(ctx, s, &h.app.conns)
		if err != nil {
			return config.Errorf(config.Index("servers", i)+".reverse_proxy", "%v", err)
		}
		h.forwarders = append(h.forwarders, forwarder)
	}
	return h.app.sites.add(h)
}

// openAudit opens the audit log, which hears of what operators do as well.
func (h *Handler) openAudit(ctx caddy.Context) (err error) {
	if h.audit, err = audit.New(ctx, h.cfg, h.events); err != nil {
		return config.Errorf("audit", "%v", err)
	}
	if h.audit != nil {
		h.events.Add(h.audit)
		h.app.audited.Do(func() { h.app.events.Add(h.audit) })
	}
	return nil
}

// brand makes the pages in the operator's brand.
func (h *Handler) brand() error {
	logo, err := readLogo(h.cfg.Branding.Logo)
	if err != nil {
		return config.Errorf("branding.logo", "%v", err)
	}
	h.pages, err = pages.New(pages.Brand{Name: h.cfg.Branding.Name, Accent: h.cfg.Branding.Accent, Logo: logo})
	if err != nil {
		return config.Errorf("branding", "%v", err)
	}
	h.landing, err = landing.New(h.cfg, h.pages)
	return err
}

// readLogo reads an image, and not much more of what is none.
func readLogo(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	image, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return "", err
	}
	logo, err := pages.Logo(image)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return logo, nil
}

// resolveSite checks all of a configuration that can be checked without a place
// among Caddy's routes.
func resolveSite(site *config.Site, resolve config.Resolver) (*config.Site, []clients.Client, error) {
	resolved, err := site.Resolve(resolve)
	if err != nil {
		return nil, nil, err
	}
	for i, s := range resolved.Servers {
		if err := upstream.Check(s); err != nil {
			return nil, nil, config.Errorf(config.Index("servers", i)+".reverse_proxy", "%v", err)
		}
	}
	clients, err := clients.PreregisteredFrom(resolved)
	return resolved, clients, err
}

// Cleanup closes the connections to MCP servers that nobody uses.
func (h *Handler) Cleanup() error {
	for _, f := range h.forwarders {
		f.Close()
	}
	return nil
}
