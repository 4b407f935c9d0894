package neighbours

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Journey is what a request met on its way through the routes of a server.
type Journey struct {
	// Arrived reports whether it got to the handler that it was for.
	Arrived bool
	// Answerer is the last handler that took it if it did not arrive, by its name
	// in Caddy's configuration, or "" if no handler did.
	Answerer string
	// Err is what a handler refused it with.
	Err error
	// Asks are the ways in which handlers on its way authenticate whom they let
	// through, such as http_basic.
	Asks []string
	// AsksElsewhere tells that a reverse proxy on its way lets through whom a
	// server behind that accepts, as forward_auth does.
	AsksElsewhere bool
	// MayAuthenticate tells that some handler on its way, or one that takes some
	// requests of this kind, may say who sent it.
	MayAuthenticate bool
	// BodyLimit is how much of its body may be read; 0 is all of it.
	BodyLimit int64
}

// Traveller sends requests through the loaded routes of a server as Caddy would,
// but for two things. Where a matcher depends on what is not known of requests
// to come, such as the address of the sender, a request takes the way that leads
// to the handler. And no handler on the way is run that would ask somebody else,
// or tell them.
//
// Caddy's server is left out on purpose, for it writes the access log; so is
// what counts requests, which Caddy puts around a route.
type Traveller struct {
	Server *caddyhttp.Server
	// To reports whether a handler is the one that requests are for.
	To func(caddyhttp.MiddlewareHandler) bool
	// Arrive takes requests that got there.
	Arrive caddyhttp.HandlerFunc

	walk    walk
	journey *Journey
}

// Leads reports whether the routes of the server have the handler at all.
func (t *Traveller) Leads() bool { return t.leads(t.Server.Routes, 0) }

func (t *Traveller) leads(routes caddyhttp.RouteList, depth int) bool {
	for _, route := range routes {
		if t.leadsIn(route, depth) {
			return true
		}
	}
	return false
}

func (t *Traveller) leadsIn(route caddyhttp.Route, depth int) bool {
	for _, h := range handlersOf(route, t.Server.NamedRoutes) {
		if t.To(h.loaded) || depth < maxDepth && t.leads(h.routes, depth+1) {
			return true
		}
	}
	return false
}

// Send sends a request, and returns what it met. What the routes answer is
// written to w.
func (t *Traveller) Send(w http.ResponseWriter, r *http.Request) (journey Journey) {
	t.journey, t.walk = &journey, walk{methodIsKnown: true}
	defer func() {
		if cause := recover(); cause != nil { // of a handler that wants a real connection
			journey.Err = fmt.Errorf("panic: %v", cause)
		}
	}()
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, t.Server)
	journey.Err = t.routes(t.Server.Routes, map[string]bool{}, 0, nobody).ServeHTTP(w, r)
	return journey
}

// nobody is behind the last route.
var nobody caddyhttp.Handler = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// routes returns the handler of a list of routes.
func (t *Traveller) routes(routes caddyhttp.RouteList, groups map[string]bool, depth int, next caddyhttp.Handler) caddyhttp.Handler {
	for i := len(routes) - 1; i >= 0; i-- {
		next = t.route(routes[i], groups, depth, next)
	}
	return next
}

// route returns the handler of one route.
func (t *Traveller) route(route caddyhttp.Route, groups map[string]bool, depth int, next caddyhttp.Handler) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if route.Group != "" && groups[route.Group] {
			return next.ServeHTTP(w, r)
		}
		switch t.walk.matches(route.MatcherSets, r) {
		case never:
			return next.ServeHTTP(w, r)
		case sometimes:
			if !t.leadsIn(route, depth) {
				t.passBy(route)
				return next.ServeHTTP(w, r)
			}
		}
		groups[route.Group] = true
		behind := next
		if route.Terminal {
			behind = nobody
		}
		all := handlersOf(route, t.Server.NamedRoutes)
		for i := len(all) - 1; i >= 0; i-- {
			behind = t.handler(all[i], groups, depth, behind)
		}
		return behind.ServeHTTP(w, r)
	})
}

// passBy notes what a request of the same kind may meet.
func (t *Traveller) passBy(route caddyhttp.Route) {
	if anyHandler(caddyhttp.RouteList{route}, func(h handler) bool { return mayAuthenticate(h) }) {
		t.journey.MayAuthenticate = true
	}
}

// handler returns one handler of a route, as it is met on the way.
func (t *Traveller) handler(h handler, groups map[string]bool, depth int, next caddyhttp.Handler) caddyhttp.Handler {
	return caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		j := t.journey
		if t.To(h.loaded) {
			j.Arrived, j.Answerer = true, ""
			return t.Arrive(w, r)
		}
		if j.Arrived = false; h.routes != nil {
			if depth == maxDepth {
				return errors.New("routes invoke each other")
			}
			return t.routes(h.routes, groups, depth+1, next).ServeHTTP(w, r)
		}
		if mayAuthenticate(h) {
			j.MayAuthenticate = true
		}
		switch h.name {
		case "authentication":
			j.Asks = append(j.Asks, providersOf(h.loaded)...)
			return next.ServeHTTP(w, r)
		case "reverse_proxy":
			if !asksElsewhere(h.loaded) {
				j.Answerer = h.name
				return nil
			}
			j.AsksElsewhere = true
			return next.ServeHTTP(w, r)
		case "request_body":
			if limit := bodyLimit(h.loaded); limit > 0 && (j.BodyLimit == 0 || limit < j.BodyLimit) {
				j.BodyLimit = limit
			}
		}
		if !runs[h.name] {
			return next.ServeHTTP(w, r)
		}
		previous := j.Answerer
		j.Answerer = h.name
		return h.loaded.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if j.Answerer == h.name {
				j.Answerer = previous
			}
			return next.ServeHTTP(w, r)
		}))
	})
}

// runs are the handlers that are run on the way: what they do depends on the
// request and the configuration alone, and nobody else learns of it. Any other
// one is taken to let the request through.
var runs = map[string]bool{
	"copy_response": true, "copy_response_headers": true, "encode": true, "error": true, "esi": true, "file_server": true, "headers": true,
	"intercept": true, "map": true, "replace_response": true, "request_body": true, "rewrite": true, "static_response": true,
	"templates": true, "vars": true,
}

// asksElsewhere reports whether a reverse proxy goes on to the next handler when
// the server behind it agrees.
func asksElsewhere(loaded caddyhttp.MiddlewareHandler) bool {
	proxy, ok := loaded.(*reverseproxy.Handler)
	if !ok {
		return false
	}
	for _, answer := range proxy.HandleResponse {
		if answer.StatusCode == "" && (answer.Match == nil || answer.Match.Match(http.StatusOK, http.Header{})) {
			return !anyHandler(answer.Routes, func(h handler) bool { return h.name == "copy_response" || h.name == "static_response" })
		}
	}
	return false
}

func bodyLimit(loaded caddyhttp.MiddlewareHandler) int64 {
	if body, ok := loaded.(*requestbody.RequestBody); ok {
		return body.MaxSize
	}
	return 0
}

// providersOf returns the ways in which an authentication handler lets people in.
func providersOf(loaded caddyhttp.MiddlewareHandler) []string {
	asks, ok := loaded.(*caddyauth.Authentication)
	if !ok || len(asks.Providers) == 0 {
		return []string{"authentication"}
	}
	return slices.Sorted(maps.Keys(asks.Providers))
}
