package caddymodule

import (
	"cmp"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
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
	h.refuseForeignHosts(ctx)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs != nil {
		h.logged = true
		warnOfCodesInAccessLog(ctx, server, h.host, len(h.connections.Servers) > 0, h.log)
	}
	warnOfCodesInDebugLog(ctx, len(h.connections.Servers) > 0, h.log)
	h.warn()
	h.warnOfNoUser(ctx)
	return nil
}

func (h *Handler) provision(ctx caddy.Context) (err error) {
	if h.cfg, err = h.convert(whenProvisioning); err != nil {
		return err
	}
	h.host = hostOf(h.cfg.Issuer)
	if h.connections, err = h.upstreamConfig(h.cfg.Issuer, whenProvisioning); err != nil {
		return err
	}
	h.owned = newOwnedPaths(h.Servers)
	h.user = h.userPlaceholder()
	// Before a proxy is loaded, which may start to check health at once: Caddy
	// loads every module of this context into the place of the one before.
	if err := h.checkArrival(ctx); err != nil {
		return err
	}
	for i, s := range h.Servers {
		target, err := newUpstreamTarget(index("servers", i), s, h.cfg.Issuer, whenProvisioning)
		if err != nil {
			return err
		}
		u, err := newUpstream(ctx, s, h.cfg.Servers[i], target, &h.app.conns)
		if err != nil {
			return wrong(index("servers", i)+".reverse_proxy", "%v", err)
		}
		h.upstreams = append(h.upstreams, u)
	}
	return h.app.addHandler(h)
}

// Cleanup closes the connections to MCP servers that nobody uses.
func (h *Handler) Cleanup() error {
	for _, u := range h.upstreams {
		if u.own != nil {
			_ = u.own.Cleanup() // which never fails
		}
	}
	return nil
}

// brand returns how the pages look.
func (h *Handler) brand() pages.Brand {
	if h.Branding == nil {
		return pages.Brand{Name: h.host}
	}
	return pages.Brand{Name: cmp.Or(h.Branding.Name, h.host), Accent: h.Branding.Accent}
}
