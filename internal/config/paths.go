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
	servers  map[string]bool // and what else is named for one
	accounts []string        // what paths of accounts begin with
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
		if s.HasAccounts() {
			o.accounts = append(o.accounts, s.Path+"/")
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
	if o.servers[path] || slices.ContainsFunc(o.accounts, func(prefix string) bool { return strings.HasPrefix(path, prefix) }) {
		return true
	}
	if name, ok := strings.CutPrefix(path, "/.well-known/"); ok {
		name, _, _ = strings.Cut(name, "/")
		return slices.Contains(wellKnownNames, name)
	}
	return issuers(path)
}

// SharedCallbackPath is where providers of pre-registered clients send browsers,
// unless the configuration says otherwise.
const SharedCallbackPath = "/api/oauth/callback"

// callbackPath is where the provider of one server sends browsers. A path for
// each server keeps the answers of two providers apart.
func callbackPath(server string) string { return SharedCallbackPath + "/" + server }

// CallbackPath is where the provider of the server, which has Auth, sends
// browsers.
func (s *Server) CallbackPath() string {
	switch {
	case s.Auth.ClientID == "":
		return callbackPath(s.ID)
	case s.Auth.CallbackPath != "":
		return s.Auth.CallbackPath
	}
	return SharedCallbackPath
}

// checkCallbackPath keeps answers of providers away from other endpoints, and
// from the path that is another server's own.
func checkCallbackPath(s *Site, field string, server *Server) error {
	path := server.Auth.CallbackPath
	own, below := strings.CutPrefix(path, SharedCallbackPath+"/")
	switch {
	case path == "" || path == SharedCallbackPath:
		return nil
	case below && own != server.ID && s.Server(own) != nil:
		return Errorf(field, "%s is that of server %s; use %s", path, own, callbackPath(server.ID))
	case below:
		return nil
	case !isPath(strings.TrimSuffix(path, "/")):
		return Errorf(field, "%q is not a path; write it as /api/oauth/callback", path)
	case reserved(path):
		return Errorf(field, "%s is needed by the authorization server; choose another", path)
	}
	for _, other := range s.Servers {
		if slices.Contains(other.Paths(), path) {
			return Errorf(field, "%s is that of server %s; choose another", path, other.ID)
		}
	}
	return nil
}

// checkSharedCallbacks refuses one callback path for different providers. Not
// every provider says with iss that an answer is its own; without that, one of
// them could have a browser bring it the code of another, which only the path
// tells apart (RFC 9700 section 4.4).
func checkSharedCallbacks(s *Site) error {
	for i, server := range s.Servers {
		if !server.hasProvider() {
			continue
		}
		for _, other := range s.Servers[:i] {
			if !other.hasProvider() || other.CallbackPath() != server.CallbackPath() || maybeOneProvider(other.Auth, server.Auth) {
				continue
			}
			return Errorf(Index("servers", i)+".auth.callback_path", "another provider, that of server %s, answers at %s too; set callback_path %s and register that, "+
				"or the same issuer for both if they have one provider", other.ID, server.CallbackPath(), callbackPath(server.ID))
		}
	}
	return nil
}

func (s *Server) hasProvider() bool { return s.Auth != nil && s.Auth.Mode != PerUserHeaders }

// maybeOneProvider reports whether two servers have the same provider by their
// configuration. Where that has a placeholder which is not known yet, they may.
func maybeOneProvider(a, b *Auth) bool {
	one, two := a.provider(), b.provider()
	return one == two && one != "" || one != "" && two != "" && strings.Contains(one+two, "{")
}

// provider returns what the configuration calls the provider; "" if it is found
// through the server, which can name another one at any time.
func (a *Auth) provider() string {
	if a.Issuer != "" || a.TokenEndpoint == "" {
		return a.Issuer
	}
	return a.AuthorizationEndpoint + " " + a.TokenEndpoint
}
