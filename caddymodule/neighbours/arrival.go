package neighbours

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// CheckArrival refuses a place of a site among the routes of Caddy where requests
// that it cannot do without never come, or come with another path: behind a
// matcher for /mcp*, in handle_path, or in a site of another host. publicURL is
// as it was configured.
func CheckArrival(ctx caddy.Context, site *config.Site, publicURL string) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	w := &walk{ctx: ctx, server: server, publicURL: publicURL}
	if !w.contains(server.Routes) { // a named route, which may be invoked anywhere
		return nil
	}
	for _, path := range neededPaths(site) {
		if w.comes(site.Host(), path) {
			continue
		}
		w.anyHost = true
		if w.comes(site.Host(), path) {
			return config.Errorf("public_url", "requests for the host %s do not get here; give the site this address, or public_url that of the site", site.Host())
		}
		return config.Errorf("", "requests for %s do not get here, because of a matcher, or a rewrite such as handle_path or try_files; put mcp_oauth directly into the block of the site, and what rewrites its paths into a handle block of its own", path)
	}
	return nil
}

// neededPaths are the paths without which no client can sign in.
func neededPaths(site *config.Site) []string {
	paths := []string{"/.well-known/oauth-authorization-server", server.AuthorizePath, server.TokenPath}
	for _, s := range site.Servers {
		paths = append(paths, s.Path, "/.well-known/oauth-protected-resource"+strings.TrimSuffix(s.Path, "/"))
		if account := s.ForAccount("account"); account != nil { // of any name
			paths = append(paths, account.Path, "/.well-known/oauth-protected-resource"+account.Path)
		}
	}
	return paths
}

// walk follows a request through the routes of a server, as far as that can be
// told beforehand: by its host and path.
type walk struct {
	ctx       caddy.Context
	server    *caddyhttp.Server
	publicURL string
	path      string // which the request had at first
	anyHost   bool
	// methodIsKnown tells that it is about requests of this method alone.
	methodIsKnown bool
}

func (w *walk) request(host, path string) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, RequestURI: path, RemoteAddr: "127.0.0.1:1",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody,
	}
	return caddyhttp.PrepareRequest(r.WithContext(w.ctx), caddy.NewReplacer(), nil, w.server)
}

// comes reports whether a request gets to a copy of the handler. A site with
// several addresses can be in several servers.
func (w *walk) comes(host, path string) bool {
	w.path = path
	if w.arrives(w.server.Routes, w.request(host, path)) {
		return true
	}
	return slices.ContainsFunc(configuredRoutes(w.ctx), func(routes caddyhttp.RouteList) bool {
		return w.contains(routes) && routes.ProvisionMatchers(w.ctx) == nil && w.arrives(routes, w.request(host, path))
	})
}

// contains reports whether the handler is in the routes that are still to be
// loaded.
func (w *walk) contains(routes caddyhttp.RouteList) bool { return anyHandler(routes, w.isOurs) }

func (w *walk) isOurs(h handler) bool {
	return h.raw != nil && h.name == ours && h.publicURL == w.publicURL
}

// arrives reports whether the request gets to the handler with its path. Where
// a route matches some requests only, whatever their host and path, one that it
// does not match goes on unchanged.
func (w *walk) arrives(routes caddyhttp.RouteList, r *http.Request) bool {
	groups := map[string]bool{}
	for _, route := range routes {
		if groups[route.Group] {
			continue
		}
		switch w.matches(route.MatcherSets, r) {
		case never:
			continue
		case sometimes:
			if w.arrivesIn(route, w.request(r.Host, r.URL.Path)) {
				return true
			}
			continue
		}
		groups[route.Group] = route.Group != ""
		if w.arrivesIn(route, r) {
			return true
		}
		if route.Terminal {
			return false
		}
	}
	return false
}

// arrivesIn is arrives for the handlers of one route.
func (w *walk) arrivesIn(route caddyhttp.Route, r *http.Request) bool {
	for _, h := range handlersOf(route, nil) {
		switch {
		case h.raw == nil:
		case w.isOurs(h):
			return r.URL.Path == w.path
		case h.name == "rewrite":
			w.rewrite(h.raw, r)
		case len(h.routes) > 0 && h.routes.ProvisionMatchers(w.ctx) == nil:
			if w.arrives(h.routes, r) {
				return true
			}
		}
	}
	return false
}

// rewrite does to the request what a handler would do.
func (w *walk) rewrite(raw json.RawMessage, r *http.Request) {
	options := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &options) // it was read before
	delete(options, "handler")        // which names the module
	raw, _ = json.Marshal(options)    // of what was just decoded
	loaded, err := w.ctx.LoadModuleByID("http.handlers.rewrite", raw)
	if err != nil {
		return
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	loaded.(*rewrite.Rewrite).Rewrite(r, repl)
}
