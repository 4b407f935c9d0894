package neighbours

import (
	"encoding/json"
	"reflect"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// ours is the name of the handler that all this is about.
const ours = "mcp_oauth"

// handler is a handler in a route, before or after Caddy loaded it.
type handler struct {
	name   string
	loaded caddyhttp.MiddlewareHandler // nil before
	raw    json.RawMessage             // nil after
	// publicURL is that of ours, before it is loaded.
	publicURL string
	routes    caddyhttp.RouteList // inside of it
}

// handlersOf returns the handlers of a route. Named routes are those of the
// server.
func handlersOf(route caddyhttp.Route, named map[string]*caddyhttp.Route) []handler {
	all := make([]handler, 0, len(route.HandlersRaw)+len(route.Handlers))
	for _, raw := range route.HandlersRaw {
		var config struct {
			Name      string              `json:"handler"`
			PublicURL string              `json:"public_url"`
			Routes    caddyhttp.RouteList `json:"routes"`
		}
		_ = json.Unmarshal(raw, &config) // a mistake in another handler is told when that is loaded
		all = append(all, handler{name: config.Name, raw: raw, publicURL: config.PublicURL, routes: config.Routes})
	}
	for _, loaded := range route.Handlers {
		h := handler{loaded: loaded}
		if module, ok := loaded.(caddy.Module); ok {
			h.name = module.CaddyModule().ID.Name()
		}
		switch loaded := loaded.(type) {
		case *caddyhttp.Subroute:
			h.routes = loaded.Routes
		case *caddyhttp.Invoke:
			if route := named[loaded.Name]; route != nil {
				h.routes = caddyhttp.RouteList{*route}
			}
		}
		all = append(all, h)
	}
	return all
}

// maxDepth bounds routes inside of routes: named ones may name each other.
const maxDepth = 32

// anyHandler reports whether one of the handlers in the routes, or in routes
// inside of those, is as wanted.
func anyHandler(routes caddyhttp.RouteList, wanted func(handler) bool) bool {
	for _, route := range routes {
		for _, h := range handlersOf(route, nil) {
			if wanted(h) || anyHandler(h.routes, wanted) {
				return true
			}
		}
	}
	return false
}

// configuredRoutes returns the routes of every server of the configuration,
// before they are loaded.
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
