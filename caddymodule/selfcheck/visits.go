package selfcheck

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/landing"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// visit is one request of a client or browser.
type visit struct {
	part   string // of what is checked, as the log calls it
	method string
	path   string
	// real asks the site itself. Others get an answer that looks like the site's,
	// where a request with nothing in it would only be refused.
	real bool
	// person tells that a browser shows the answer to a person.
	person bool
	// extra tells that only some clients ask for this.
	extra bool
	call  bool // of an MCP server
}

// Parts of what is checked.
const (
	metadata  = "metadata"
	challenge = "challenge"
	endpoints = "endpoints"
	pages     = "pages"
	callback  = "callback"
	keys      = "keys"
	preflight = "CORS"
)

// visits are what clients and browsers will ask the site.
func visits(site *config.Site) []visit {
	all := []visit{
		{part: metadata, path: oauth.AuthorizationServerPath, real: true},
		{part: metadata, path: oauth.OpenIDConfigurationPath, real: true, extra: true},
		{part: preflight, method: http.MethodOptions, path: oauth.AuthorizationServerPath, real: true, extra: true},
		{part: endpoints, path: server.AuthorizePath, person: true},
		{part: endpoints, path: "/authorize", person: true, extra: true},
		{part: endpoints, method: http.MethodPost, path: server.TokenPath},
		{part: endpoints, method: http.MethodPost, path: "/token", extra: true},
		{part: preflight, method: http.MethodOptions, path: server.TokenPath, real: true, extra: true},
		{part: pages, path: server.ConsentPath, person: true},
		{part: pages, method: http.MethodPost, path: server.EndpointPrefix + "consent/submit", person: true},
		{part: pages, path: landing.AccountPath, real: true, person: true},
	}
	if *site.Registration.Dynamic {
		all = append(all,
			visit{part: endpoints, method: http.MethodPost, path: server.RegisterPath},
			visit{part: endpoints, method: http.MethodPost, path: "/register", extra: true})
	}
	if site.Signs() {
		all = append(all, visit{part: keys, path: oauth.JWKSPath, real: true})
	}
	for _, s := range site.Servers {
		all = append(all, visitsOf(s)...)
		if account := s.ForAccount("account"); account != nil { // of any name
			all = append(all, visitsOf(account)...)
		}
	}
	for _, p := range callbacks(site) {
		all = append(all, visit{part: callback, path: p, person: true})
	}
	return all
}

// visitsOf are what clients of one MCP server ask.
func visitsOf(s *config.Server) []visit {
	path := strings.TrimSuffix(s.Path, "/")
	all := []visit{
		{part: metadata, path: oauth.ProtectedResourcePath + path, real: true},
		{part: metadata, path: oauth.AuthorizationServerPath + path, real: true, extra: true},
		{part: metadata, path: oauth.OpenIDConfigurationPath + path, real: true, extra: true},
		{part: metadata, path: path + oauth.OpenIDConfigurationPath, real: true, extra: true},
		{part: challenge, path: s.Path, real: true, call: true},
		{part: challenge, method: http.MethodPost, path: s.Path, real: true, call: true},
		{part: challenge, method: http.MethodDelete, path: s.Path, extra: true, call: true},
		{part: preflight, method: http.MethodOptions, path: s.Path, real: true, extra: true, call: true},
	}
	for _, other := range s.Paths() {
		if other != s.Path {
			all = append(all, visit{part: challenge, method: http.MethodPost, path: other, real: true, extra: true, call: true})
		}
	}
	return all
}

// callbacks are the paths where providers send browsers, and where people sign in
// at an identity provider.
func callbacks(site *config.Site) []string {
	var paths []string
	for _, s := range site.ConnectedServers() {
		if s.Auth.Mode != config.PerUserHeaders {
			paths = append(paths, s.CallbackPath())
		}
	}
	for _, p := range site.Providers {
		paths = append(paths, identity.CallbackPath+oidc.Form(p.Options().Name))
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
