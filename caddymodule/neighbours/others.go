package neighbours

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// redirectServer is the server that Caddy adds by itself, to lead from http to
// https.
const redirectServer = "remaining_auto_https_redirects"

// ServesOthers reports whether this Caddy serves anything besides what is ours,
// as far as its routes tell.
func ServesOthers(app *caddyhttp.App) bool {
	for name, server := range app.Servers {
		if name != redirectServer && anyHandler(server.Routes, isOther) {
			return true
		}
	}
	return false
}

func isOther(h handler) bool { return !slices.Contains(notServing, h.name) }

// notServing are handlers that are nothing to serve by themselves: ours, and what is
// there for the sake of others.
var notServing = []string{ours, "mcp_oauth_health", "metrics", "subroute"}

// Traces reports whether requests of the server may be traced.
func Traces(server *caddyhttp.Server) bool {
	return len(server.NamedRoutes) > 0 || anyHandler(server.Routes, func(h handler) bool { return h.name == "tracing" })
}

// unhandled is the variable of a request for which Caddy ran out of handlers.
const unhandled = "unhandled"

// Unhandled reports whether nobody behind us has an answer to the request, once
// all have been asked.
func Unhandled(r *http.Request) bool {
	none, _ := caddyhttp.GetVar(r.Context(), unhandled).(bool)
	return none
}

// Handled tells Caddy that the request has an answer after all.
func Handled(r *http.Request) { caddyhttp.SetVar(r.Context(), unhandled, false) }

// Authenticates reports whether some handler of a server, whose routes are loaded,
// may say who sent a request.
func Authenticates(server *caddyhttp.Server) bool { return anyHandler(server.Routes, mayAuthenticate) }

// TrustsProxies reports whether the operator named proxies in front of a server.
// Caddy keeps what it made of that to itself; should a release rename it, they
// count as named.
func TrustsProxies(server *caddyhttp.Server) bool {
	if server.TrustedProxiesUnix {
		return true
	}
	trusted := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	return !trusted.IsValid() || trusted.Kind() != reflect.Interface || !trusted.IsNil()
}
