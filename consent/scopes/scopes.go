// Package scopes is what a person can decide about the scopes that a client asks
// for: which a server needs for every call, and which can be left out, at one
// server or wherever they mean something. What connecting an account gives is no
// choice here: it stands for the connection.
package scopes

import (
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Choice is what there is to decide in one request.
type Choice struct {
	requested []string
	servers   []*config.Server
	// Optional are all that can be left out.
	Optional []string
}

// Of returns what there is to decide about the requested scopes at the servers
// that are on offer.
func Of(requested []string, servers []*config.Server) Choice {
	return Choice{requested, servers, grants.OptionalScope(requested, servers)}
}

// Needed returns the requested scopes that calls of a server need.
func (c Choice) Needed(s *config.Server) []string {
	return keep(c.requested, func(scope string) bool { return slices.Contains(s.Scopes, scope) })
}

// Own returns the scopes that can be left out and that mean something to this
// server alone.
func (c Choice) Own(s *config.Server) []string {
	return keep(c.Optional, func(scope string) bool { return s.HasScope(scope) && len(c.At(scope)) == 1 })
}

// Shared returns the scopes that can be left out and that mean something to
// several servers: tokens have each scope once, so it is decided for all of them.
func (c Choice) Shared() []string {
	return keep(c.Optional, func(scope string) bool { return len(c.At(scope)) > 1 })
}

// At returns the servers that a scope means something to.
func (c Choice) At(scope string) []*config.Server {
	return keep(c.servers, func(s *config.Server) bool { return s.HasScope(scope) })
}

// LeftOut returns the optional scopes that are not ticked.
func (c Choice) LeftOut(ticked []string) []string {
	return keep(c.Optional, func(scope string) bool { return !slices.Contains(ticked, scope) })
}

func keep[T any](all []T, is func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !is(t) })
}
