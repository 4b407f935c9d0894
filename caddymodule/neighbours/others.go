package neighbours

import "github.com/caddyserver/caddy/v2/modules/caddyhttp"

// redirectServer is the server that Caddy adds by itself, to lead from http to
// https.
const redirectServer = "remaining_auto_https_redirects"

// ServesOthers reports whether this Caddy serves anything besides what is ours,
// as far as its routes tell.
func ServesOthers(http *caddyhttp.App) bool {
	for name, server := range http.Servers {
		if name != redirectServer && anyHandler(server.Routes, isOther) {
			return true
		}
	}
	return false
}

func isOther(h handler) bool { return h.name != ours && h.name != "subroute" }
