package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func testSite() *Site {
	return &Site{
		PublicURL:   "https://MCP.example.com:443/",
		Identities:  []Identity{{Kind: identity.VirtualKey}, {Kind: identity.Caddy}},
		VirtualKeys: []VirtualKey{{Name: "alice", Key: "{env.KEY}"}},
		Clients:     []Client{{ID: "app", RedirectURIs: []string{"https://app.example/cb"}, Secret: "{env.KEY}"}},
		Servers: []*Server{
			{ID: "a", Path: "/", Upstream: "https://{env.HOST}/mcp", Headers: map[string]string{"authorization": "Bearer {env.KEY}"}, PassHeaders: []string{"X-Toolset"}},
			{ID: "b", Title: "B", Path: "/b", Upstream: "https://b.example/mcp", Scopes: []string{"b:read"}, Auth: &Auth{Mode: PerUserOAuth, ClientID: "{env.HOST}"}},
			{ID: "c", Path: "/c", Upstream: "https://c.example/mcp", Auth: &Auth{Mode: PerUserHeaders}},
		},
		Registration: &Registration{Dynamic: new(false), RedirectSchemes: []string{"com.example.app"}},
	}
}

func replace(value string) (string, bool, error) {
	return strings.NewReplacer("{env.KEY}", "uX3-kf8aQ2m_Wz71", "{env.HOST}", "a.example").Replace(value), true, nil
}

func TestResolve(t *testing.T) {
	site := testSite()
	before, _ := json.Marshal(site) // which has nothing that cannot be encoded
	r, err := site.Resolve(replace)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(site); string(after) != string(before) || site.Servers[0].URL != nil {
		t.Errorf("Resolve changed what is configured:\n%s\nwas\n%s", after, before)
	}
	a, b, c := r.Servers[0], r.Servers[1], r.Servers[2]
	for what, ok := range map[string]bool{
		"issuer":                 r.Issuer == "https://mcp.example.com",
		"name":                   r.Branding.Name == "mcp.example.com",
		"a key":                  r.Keys.Set().ByHash(storage.HashOf("uX3-kf8aQ2m_Wz71")).Name == "alice",
		"a way to sign in":       len(r.SignIn) == 2 && r.SignIn[1].Recheck == 24*time.Hour,
		"a client":               *r.Clients[0].SecretHash == r.Keys.Set().ByHash(storage.HashOf("uX3-kf8aQ2m_Wz71")).Hash && r.Clients[0].Name == "app",
		"a lifetime":             r.CodeLifetime == DefaultLifetimes.CodeLifetime && *r.RefreshReuseGrace == Duration(time.Minute),
		"registration":           !*r.Registration.Dynamic && *r.Registration.MetadataDocuments && *r.Registration.RateLimit == 60,
		"redirect schemes":       slices.Contains(r.Registration.RedirectSchemes, "cursor") && slices.Contains(r.Registration.RedirectSchemes, "com.example.app"),
		"resource":               a.Resource == "https://mcp.example.com" && b.Resource == "https://mcp.example.com/b",
		"upstream":               a.URL.Host == "a.example" && a.Upstream == "https://a.example/mcp",
		"header":                 a.Headers["authorization"] == "Bearer uX3-kf8aQ2m_Wz71",
		"title":                  a.Title == "a" && b.Title == "B",
		"scopes":                 slices.Equal(a.Scopes, []string{"mcp:use"}) && slices.Equal(b.OptionalScopes, []string{"connect:b"}),
		"client at the provider": b.Auth.ClientID == "a.example" && b.CallbackPath() == SharedCallbackPath,
		"pasted header":          c.Auth.Headers[0] == AuthHeader{Name: "Authorization", Prefix: "Bearer ", Label: "API key"},
		"passed header":          a.PassFilter != nil,
	} {
		if !ok {
			t.Errorf("%s is not resolved", what)
		}
	}
}

// What cannot be known yet is no error, and stays as it is written.
func TestResolveWithoutPlaceholders(t *testing.T) {
	site := testSite()
	site.PublicURL = "{env.URL}"
	r, err := site.Resolve(KeepPlaceholders)
	if err != nil || r.Issuer != "" || r.Servers[0].URL != nil || r.Servers[0].Upstream != "https://{env.HOST}/mcp" {
		t.Errorf("%+v, %v", r, err)
	}
}

// An error has the path of its field.
func TestErrorPath(t *testing.T) {
	site := testSite()
	site.Servers[1].Auth.ClientID = "{env.HOST"
	_, err := site.Resolve(KeepPlaceholders)
	var e *Error
	if !errors.As(err, &e) || e.Path != "servers[1].auth.client_id" || err.Error() != "servers[1].auth.client_id: a placeholder is not closed; write it as {env.NAME}" {
		t.Error(err)
	}
}

// A server that is for some people is for those of whom that is known, and for
// the keys that name it.
func TestServerForSomePeople(t *testing.T) {
	site := testSite()
	site.Servers[1].Allow = []string{"group:engineering"}
	if _, err := site.Resolve(replace); err == nil || !strings.Contains(err.Error(), "write the servers that this key is good for") {
		t.Errorf("a key for all servers: %v", err)
	}
	site.VirtualKeys[0].Servers = []string{"a", "b"}
	r, err := site.Resolve(replace)
	if err != nil {
		t.Fatal(err)
	}
	groups := func(names ...string) *storage.Claims { return &storage.Claims{Groups: names} }
	for _, tt := range []struct {
		id   storage.Identity
		a, b bool
	}{
		{storage.Identity{Kind: "oidc:idp"}, true, false},
		{storage.Identity{Kind: "oidc:idp", Claims: groups("staff")}, true, false},
		{storage.Identity{Kind: "oidc:idp", Claims: groups("staff", "engineering")}, true, true},
		{storage.Identity{Kind: "caddy", Subject: "caddy:engineering"}, true, false},
		{storage.Identity{Kind: "anonymous"}, true, false},
		{storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice"}, true, true}, // whose list is another matter
	} {
		if a, b := r.Admits(r.Servers[0], &tt.id), r.Admits(r.Servers[1], &tt.id); a != tt.a || b != tt.b {
			t.Errorf("%+v may use a: %t, b: %t, want %t and %t", tt.id, a, b, tt.a, tt.b)
		}
	}
	site.Servers[1].Allow = []string{"engineering"}
	if _, err := site.Resolve(replace); err == nil || !strings.Contains(err.Error(), "servers[1].allow") {
		t.Errorf("no rule: %v", err)
	}
}
