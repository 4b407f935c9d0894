package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// neverAuthenticate are Caddy's own handlers that name no user. Any other may.
var neverAuthenticate = []string{
	"acme_server", "copy_response", "copy_response_headers", "encode", "error", "file_server", "headers", "intercept", "invoke",
	"log_append", "map", "mcp_oauth", "metrics", "push", "request_body", "reverse_proxy", "rewrite", "static_response", "subroute",
	"templates", "tracing", "vars",
}

// warnOfNoUser tells that no other handler is there to authenticate anybody.
func (h *Handler) warnOfNoUser(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.NamedRoutes) > 0 {
		return
	}
	names := handlerNames(server.Routes)
	fix := "put one in front of the pages, such as basic_auth or forward_auth"
	switch {
	case strings.HasPrefix(h.user, "http.auth.user."):
		if slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(neverAuthenticate, name) }) {
			return
		}
		if slices.Contains(names, "reverse_proxy") {
			fix += "; forward_auth needs `user {rp.header.Remote-User}` in identity caddy, with the header that the authenticating server answers with"
		}
	case strings.HasPrefix(h.user, "http.reverse_proxy.header."):
		if slices.Contains(names, "reverse_proxy") {
			return
		}
	default:
		return
	}
	h.log.Warn("nobody can sign in with identity caddy: no other handler of this server authenticates; " + fix)
}

// handlerNames returns the names of all handlers in the routes, loaded or not.
func handlerNames(routes caddyhttp.RouteList) []string {
	var names []string
	for _, route := range routes {
		for _, raw := range route.HandlersRaw {
			var h routeHandler
			_ = json.Unmarshal(raw, &h) // a mistake in another handler is told when that is loaded
			names = append(append(names, h.Name), handlerNames(h.Routes)...)
		}
		for _, handler := range route.Handlers {
			if sub, ok := handler.(*caddyhttp.Subroute); ok {
				names = append(names, handlerNames(sub.Routes)...)
			} else if module, ok := handler.(caddy.Module); ok {
				names = append(names, module.CaddyModule().ID.Name())
			}
		}
	}
	return names
}
