package caddymodule

import "github.com/caddyserver/caddy/v2/modules/caddyhttp"

// redirectServer is the server that Caddy adds by itself, to lead from http to
// https.
const redirectServer = "remaining_auto_https_redirects"

// servesOthers reports whether this Caddy serves anything besides what is ours,
// as far as its routes tell.
func (a *App) servesOthers() bool {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return true // something else needs us
	}
	for name, server := range app.(*caddyhttp.App).Servers {
		if name != redirectServer && leadElsewhere(server.Routes) {
			return true
		}
	}
	return false
}

// leadElsewhere reports whether a handler of the routes is not ours.
func leadElsewhere(routes caddyhttp.RouteList) bool {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch h := handler.(type) {
			case *Handler:
			case *caddyhttp.Subroute:
				if leadElsewhere(h.Routes) {
					return true
				}
			default:
				return true
			}
		}
	}
	return false
}
