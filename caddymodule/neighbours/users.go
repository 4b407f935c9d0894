package neighbours

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// neverAuthenticate are Caddy's own handlers that name no user. Any other may.
var neverAuthenticate = []string{
	"acme_server", "copy_response", "copy_response_headers", "encode", "error", "file_server", "headers", "intercept", "invoke",
	"log_append", "map", "mcp_oauth", "mcp_oauth_health", "metrics", "push", "request_body", "reverse_proxy", "rewrite", "static_response", "subroute",
	"templates", "tracing", "vars",
}

// mayAuthenticate reports whether a handler may name the user who sent a request.
func mayAuthenticate(h handler) bool {
	return h.name == "reverse_proxy" && asksElsewhere(h.loaded) || !slices.Contains(neverAuthenticate, h.name)
}

// MissingUser returns what to do where no other handler of the server can
// authenticate the user that a placeholder names, or "" if one may.
func MissingUser(ctx caddy.Context, placeholder string) (fix string) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.NamedRoutes) > 0 {
		return ""
	}
	has := func(wanted func(name string) bool) bool {
		return anyHandler(server.Routes, func(h handler) bool { return (h.raw != nil || h.name != "") && wanted(h.name) })
	}
	proxies := func() bool { return has(func(name string) bool { return name == "reverse_proxy" }) }
	fix = "put one in front of the pages, such as basic_auth or forward_auth"
	switch {
	case strings.HasPrefix(placeholder, "http.auth.user."):
		if has(func(name string) bool { return !slices.Contains(neverAuthenticate, name) }) {
			return ""
		}
		if proxies() {
			fix += "; forward_auth needs `user {rp.header.Remote-User}` in identity caddy, with the header that the authenticating server answers with"
		}
		return fix
	case strings.HasPrefix(placeholder, "http.reverse_proxy.header.") && !proxies():
		return fix
	}
	return ""
}

// WithUser hands a request on with the user whom another handler authenticated, as
// a placeholder names them; if that is empty, this is no way to sign in. The
// placeholder is looked up, never expanded from anything in the request.
func WithUser(r *http.Request, placeholder string) *http.Request {
	if placeholder == "" {
		return r
	}
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return r
	}
	if strings.HasPrefix(placeholder, config.ClientCertificate) && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return r // Caddy can be told to take certificates that nobody verified
	}
	user, _ := repl.GetString(placeholder)
	return r.WithContext(identity.WithUser(r.Context(), user))
}
