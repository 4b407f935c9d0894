package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

// Only what no client can write names a user.
func TestUserPlaceholders(t *testing.T) {
	for user, ok := range map[string]bool{
		"": true, "{http.auth.user.id}": true, "{http.auth.user.email}": true, "{http.reverse_proxy.header.X-Auth-User}": true,
		"{http.vars.sso_user}": true, "{http.request.tls.client.subject}": true,
		"{http.request.header.Remote-User}": false, "{http.request.cookie.user}": false, "{http.request.uri.query.user}": false,
		"Remote-User": false, "bob": false, "{http.auth.user.id}{http.request.header.X}": false, "{http.request.remote.host}": false,
		"{env.USER}": false, "{http.vars.}": false, "{http.auth.user.id:mallory}": false,
	} {
		if err := resolveCaddyUser(nil, "identities[0]", &Identity{Kind: "caddy", User: user}, nil); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "could be written by a client") {
			t.Errorf("user %q: error %v, want accepted %v", user, err, ok)
		}
	}
	if err := checkForeignOptions("identities[0]", &Identity{Kind: "virtual_key", User: "{http.auth.user.id}"}); err == nil || !strings.Contains(err.Error(), "belong to identity caddy") {
		t.Errorf("user of identity virtual_key: %v", err)
	}
}

// What a server's rules are about is kept of a dashboard's JWTs, too: else they would
// choose nobody.
func TestDashboardKeepsWhatServersAskFor(t *testing.T) {
	server := func(id string, allow ...string) *Server {
		return &Server{ID: id, Path: "/" + id, Upstream: "http://127.0.0.1:1/mcp", Allow: allow}
	}
	site := &Site{
		PublicURL: "https://mcp.example.com",
		Servers:   []*Server{server("a"), server("b", "group:staff", "claim:plan=pro"), server("c", "domain:acme.com")},
		Identities: []Identity{{Kind: identity.Dashboard, Dashboard: &Dashboard{
			AuthorizeURL: "https://app.example.com/authorize", Issuer: "https://app.example.com", Audience: "mcp",
			JWKSURI: "https://app.example.com/jwks", Claims: []string{"displayName"}, Allow: []string{"claim:role=admin"},
		}}},
	}
	r, err := site.Resolve(KeepPlaceholders)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"displayName", "email", "groups", "plan", "role"}
	if got := r.Dashboard().Trust.Claims; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}
