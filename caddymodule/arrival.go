package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/fileserver"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// checkArrival refuses a place among the routes of Caddy where requests that
// the site cannot do without never come, or come with another path: behind a
// matcher for /mcp*, in handle_path, or in a site of another host.
func (h *Handler) checkArrival(ctx caddy.Context) error {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || h.app.serves(h.cfg.Issuer) { // copies may share the work
		return nil
	}
	w := &walk{ctx: ctx, server: server, publicURL: h.PublicURL}
	if !w.contains(server.Routes) { // a named route, which may be invoked anywhere
		return nil
	}
	for _, path := range h.neededPaths() {
		if w.comes(h.host, path) {
			continue
		}
		w.anyHost = true
		if w.comes(h.host, path) {
			return config.Errorf("public_url", "requests for the host %s do not get here; give the site this address, or public_url that of the site", h.host)
		}
		return config.Errorf("", "requests for %s do not get here, because of a matcher, or a rewrite such as handle_path or try_files; put mcp_oauth directly into the block of the site, and what rewrites its paths into a handle block of its own", path)
	}
	return nil
}

// neededPaths are the paths without which no client can sign in.
func (h *Handler) neededPaths() []string {
	paths := []string{"/.well-known/oauth-authorization-server", authz.AuthorizePath, authz.TokenPath}
	for _, s := range h.cfg.Servers {
		paths = append(paths, s.Path, "/.well-known/oauth-protected-resource"+strings.TrimSuffix(s.Path, "/"))
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

// configuredRoutes returns the routes of every server of the configuration. Caddy
// shows a module only its own part, so this reads the rest by reflection, which
// is safe; should a release of Caddy change it, nothing is returned.
func configuredRoutes(ctx caddy.Context) (all []caddyhttp.RouteList) {
	defer func() {
		if recover() != nil {
			all = nil
		}
	}()
	apps := reflect.ValueOf(ctx).FieldByName("cfg").Elem().FieldByName("AppsRaw")
	var app struct {
		Servers map[string]struct {
			Routes caddyhttp.RouteList `json:"routes"`
		} `json:"servers"`
	}
	_ = json.Unmarshal(apps.MapIndex(reflect.ValueOf("http")).Bytes(), &app) // Caddy has read it
	for _, server := range app.Servers {
		all = append(all, server.Routes)
	}
	return all
}

// routeHandler is what the configuration of a handler says about the way.
type routeHandler struct {
	Name      string              `json:"handler"`
	PublicURL string              `json:"public_url"`
	Routes    caddyhttp.RouteList `json:"routes"`
}

// contains reports whether the handler is in the routes that are still to be
// loaded.
func (w *walk) contains(routes caddyhttp.RouteList) bool {
	return slices.ContainsFunc(routes, func(route caddyhttp.Route) bool {
		return slices.ContainsFunc(route.HandlersRaw, func(raw json.RawMessage) bool {
			var h routeHandler
			_ = json.Unmarshal(raw, &h) // a mistake in another handler is told when that is loaded
			return w.isOurs(h) || w.contains(h.Routes)
		})
	})
}

func (w *walk) isOurs(h routeHandler) bool {
	return h.Name == "mcp_oauth" && h.PublicURL == w.publicURL
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
	for _, raw := range route.HandlersRaw {
		var h routeHandler
		if json.Unmarshal(raw, &h) != nil {
			continue
		}
		switch {
		case w.isOurs(h):
			return r.URL.Path == w.path
		case h.Name == "rewrite":
			w.rewrite(raw, r)
		case len(h.Routes) > 0 && h.Routes.ProvisionMatchers(w.ctx) == nil:
			if w.arrives(h.Routes, r) {
				return true
			}
		}
	}
	return false
}

// rewrite does to the request what a handler would do.
func (w *walk) rewrite(raw json.RawMessage, r *http.Request) {
	loaded, err := w.ctx.LoadModuleByID("http.handlers.rewrite", withoutMember(raw, "handler"))
	if err != nil {
		return
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	loaded.(*rewrite.Rewrite).Rewrite(r, repl)
}

// withoutMember returns the configuration of a module without the member that
// names it.
func withoutMember(raw json.RawMessage, name string) json.RawMessage {
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(raw, &members) // it was read before, or is empty
	delete(members, name)
	without, _ := json.Marshal(members) // of what was just decoded
	return without
}

// verdict says which requests of a host and path something matches.
type verdict int

const (
	never verdict = iota
	sometimes
	always
)

// matches reports which requests of this host and path a route is for.
func (w *walk) matches(sets caddyhttp.MatcherSets, r *http.Request) verdict {
	if len(sets) == 0 {
		return always
	}
	best := never
	for _, set := range sets {
		best = max(best, w.matchesAll(set, r))
	}
	return best
}

func (w *walk) matchesAll(set caddyhttp.MatcherSet, r *http.Request) verdict {
	least := always
	for _, m := range set {
		least = min(least, w.judge(m, r))
	}
	return least
}

// judge reports which requests of this host and path one matcher is for.
func (w *walk) judge(m any, r *http.Request) verdict {
	switch m := m.(type) {
	case misdirected:
		return never
	case *caddyhttp.MatchNot:
		worst := never
		for _, set := range m.MatcherSets {
			worst = max(worst, w.matchesAll(set, r))
		}
		return always - worst
	case *fileserver.MatchFile:
		if n := len(m.TryFiles); n > 1 && !strings.Contains(m.TryFiles[n-1], "{") {
			return always // in the end to a file which is there, as with try_files {path} /index.html
		}
		return sometimes
	}
	if !w.byHostAndPath(m) {
		return sometimes
	}
	if match(m, r) {
		return always
	}
	return never
}

// byHostAndPath reports whether only host and path decide about a matcher.
func (w *walk) byHostAndPath(m any) bool {
	module, ok := m.(caddy.Module)
	if !ok {
		return false
	}
	switch module.CaddyModule().ID {
	case "http.matchers.path", "http.matchers.path_regexp":
		return true
	case "http.matchers.host":
		return !w.anyHost
	}
	return false
}

func match(m any, r *http.Request) bool {
	if m, ok := m.(caddyhttp.RequestMatcherWithError); ok {
		matched, err := m.MatchWithError(r)
		return matched || err != nil
	}
	older, ok := m.(interface{ Match(*http.Request) bool })
	return !ok || older.Match(r)
}
