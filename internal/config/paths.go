package config

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Paths at the root of the site that belong to the authorization server. Not
// all of them answer, but none can be a server's.
var (
	reservedPrefixes = []string{"/api/oauth/", "/oauth/"}
	reservedPaths    = []string{"/oauth", "/register", "/authorize", "/token"}
	wellKnownNames   = []string{"oauth-protected-resource", "oauth-authorization-server", "openid-configuration"}
)

// reserved reports whether a path can not be a server's.
func reserved(path string) bool {
	return strings.Contains(path, "/.well-known") || issuers(path)
}

// issuers reports whether a path is below those of the authorization server,
// or one of them, with a trailing slash or without.
func issuers(path string) bool {
	if slices.Contains(reservedPaths, strings.TrimSuffix(path, "/")) {
		return true
	}
	for _, p := range reservedPrefixes {
		if strings.HasPrefix(path+"/", p) {
			return true
		}
	}
	return false
}

// OwnedPaths tells which paths of a site are its own, and never the next
// handler's.
type OwnedPaths struct {
	servers map[string]bool // and what else is named for one
}

// OwnedPaths returns those of the site.
func (s *Site) OwnedPaths() *OwnedPaths {
	o := &OwnedPaths{servers: make(map[string]bool, 6*len(s.Servers))}
	for _, s := range s.Servers {
		for _, name := range wellKnownNames { // some clients look there
			o.servers[strings.TrimSuffix(s.Path, "/")+"/.well-known/"+name] = true
		}
		for _, path := range s.Paths() {
			o.servers[path] = true
		}
		if s.Auth != nil && s.Auth.CallbackPath != "" {
			o.servers[s.Auth.CallbackPath] = true
		}
	}
	if s.Signs() {
		o.servers[oauth.JWKSPath] = true
	}
	return o
}

// Contains reports whether a request for the path is never the next handler's.
func (o *OwnedPaths) Contains(path string) bool {
	if o.servers[path] {
		return true
	}
	if name, ok := strings.CutPrefix(path, "/.well-known/"); ok {
		name, _, _ = strings.Cut(name, "/")
		return slices.Contains(wellKnownNames, name)
	}
	return issuers(path)
}
