package caddymodule

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// Handlers that change the answers of those behind them, by what they do.
const templatesID = "http.handlers.templates"

var rewriters = []caddy.ModuleID{templatesID, "http.handlers.replace_response", "http.handlers.esi"}

// rewriter is a handler around another one.
type rewriter struct {
	id     caddy.ModuleID
	always bool // whatever the request
}

// refuseRewriters refuses a template engine that is always around the handler:
// it would run whatever an MCP server answers with. What is around it for some
// requests only may be meant for others, so a warning names that.
func (h *Handler) refuseRewriters(http *caddyhttp.App) error {
	for name, server := range http.Servers {
		around, found := search{server, h}.around(server.Routes, 0)
		if !found {
			continue
		}
		for _, r := range around {
			if r.always && r.id == templatesID {
				return fmt.Errorf("mcp_oauth: in the server %q, the handler templates is around mcp_oauth of %s: it would run what MCP servers answer as templates; put templates behind mcp_oauth, into a handle block of its own, or give it a matcher for your pages",
					name, h.cfg.Issuer)
			}
			h.log.Warn("a handler around mcp_oauth may change its pages and what MCP servers answer; put it behind mcp_oauth, into a handle block of its own, or see that its matcher matches nothing of this site's OAuth and MCP paths",
				zap.String("handler", string(r.id)), zap.String("server", name))
		}
	}
	return nil
}

// search looks for the way of a request to a handler.
type search struct {
	server *caddyhttp.Server
	to     *Handler
}

// maxDepth bounds routes inside of routes: named ones may name each other.
const maxDepth = 32

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
	for _, handler := range route.Handlers {
		if handler == caddyhttp.MiddlewareHandler(s.to) {
			return met, true
		}
		inside, found := s.aroundHandler(handler, depth)
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

// aroundHandler is around for one handler, which may have routes of its own.
func (s search) aroundHandler(handler caddyhttp.MiddlewareHandler, depth int) ([]rewriter, bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		return s.around(h.Routes, depth+1)
	case *caddyhttp.Invoke:
		if route := s.server.NamedRoutes[h.Name]; route != nil {
			return s.aroundIn(*route, depth+1)
		}
	case caddy.Module:
		if id := h.CaddyModule().ID; slices.Contains(rewriters, id) {
			return []rewriter{{id, true}}, false
		}
	}
	return nil, false
}
