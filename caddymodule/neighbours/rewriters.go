package neighbours

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// rewriters are handlers that change the answers of those behind them, by what
// they do.
var rewriters = []string{"templates", "replace_response", "esi"}

// rewriter is a handler around another one.
type rewriter struct {
	name   string
	always bool // whatever the request
}

// CheckRewriters refuses a template engine that is always around the handler of
// a site: it would run whatever an MCP server answers with. What is around it for
// some requests only may be meant for others, so a warning names that.
func CheckRewriters(http *caddyhttp.App, to caddyhttp.MiddlewareHandler, issuer string, log *zap.Logger) error {
	for name, server := range http.Servers {
		around, found := search{server.NamedRoutes, to}.around(server.Routes, 0)
		if !found {
			continue
		}
		for _, r := range around {
			if r.always && r.name == "templates" {
				return fmt.Errorf("mcp_oauth: in the server %q, the handler templates is around mcp_oauth of %s: it would run what MCP servers answer as templates; put templates behind mcp_oauth, into a handle block of its own, or give it a matcher for your pages",
					name, issuer)
			}
			log.Warn("a handler around mcp_oauth may change its pages and what MCP servers answer; put it behind mcp_oauth, into a handle block of its own, or see that its matcher matches nothing of this site's OAuth and MCP paths",
				zap.String("handler", "http.handlers."+r.name), zap.String("server", name))
		}
	}
	return nil
}

// search looks for the way of a request to a handler, through routes that are
// loaded.
type search struct {
	named map[string]*caddyhttp.Route
	to    caddyhttp.MiddlewareHandler
}

// around returns the rewriters that a request meets on its way through the
// routes to the handler, or if that is not there, all of them.
func (s search) around(routes caddyhttp.RouteList, depth int) (met []rewriter, found bool) {
	groups := map[string][]rewriter{} // of each group, a request takes one route
	for _, route := range routes {
		inside, found := s.aroundIn(route, depth)
		if found {
			delete(groups, route.Group)
			return append(flatten(met, groups), inside...), true
		}
		switch {
		case route.Terminal: // nobody goes on from there
		case route.Group != "":
			groups[route.Group] = append(groups[route.Group], inside...)
		default:
			met = append(met, inside...)
		}
	}
	return flatten(met, groups), false
}

func flatten(met []rewriter, groups map[string][]rewriter) []rewriter {
	for _, of := range groups {
		met = append(met, of...)
	}
	return met
}

// aroundIn is around for the handlers of one route.
func (s search) aroundIn(route caddyhttp.Route, depth int) (met []rewriter, found bool) {
	for _, h := range handlersOf(route, s.named) {
		if h.loaded == s.to {
			return met, true
		}
		if slices.Contains(rewriters, h.name) {
			met = append(met, rewriter{h.name, true})
		}
		if depth == maxDepth {
			continue
		}
		inside, found := s.around(h.routes, depth+1)
		met = append(met, inside...)
		if found {
			return met, true
		}
	}
	if len(route.MatcherSets) > 0 || route.Group != "" {
		for i := range met {
			met[i].always = false
		}
	}
	return met, false
}
