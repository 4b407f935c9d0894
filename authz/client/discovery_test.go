package client

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestFindResourceMetadata_CL1(t *testing.T) {
	for name, tt := range map[string]struct {
		challenge func(tc *testClient) string
		path      string
		resource  func(tc *testClient) string
	}{
		"where the challenge says":   {func(tc *testClient) string { return `Bearer resource_metadata="` + tc.server.URL + `/own/place"` }, "/own/place", nil},
		"challenge without a place":  {func(*testClient) string { return `Bearer scope="a"` }, prmPath, nil},
		"no challenge":               {func(*testClient) string { return "" }, prmPath, nil},
		"at the root":                {func(*testClient) string { return "" }, oauth.ProtectedResourcePath, nil},
		"at the root for the origin": {func(*testClient) string { return "" }, oauth.ProtectedResourcePath, func(tc *testClient) string { return tc.server.URL }},
		"place of the challenge is gone": {
			func(tc *testClient) string { return `Bearer resource_metadata="` + tc.server.URL + `/gone"` }, prmPath, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.challenge(tt.challenge(tc))
			tc.server.Page(prmPath, nil)
			m := tc.server.Metadata()
			if tt.resource != nil {
				m["resource"] = tt.resource(tc)
			}
			tc.server.Page(tt.path, oauthtest.Document(m))
			if got := tc.found().Resource; got != m["resource"] {
				t.Errorf("resource %q, want %q", got, m["resource"])
			}
		})
	}
}

// A server of revision 2025-03-26 is its own authorization server.
func TestServerIsItsOwnProvider_CL1(t *testing.T) {
	tc := newTestClient(t)
	tc.server.Page(prmPath, nil)
	tc.provider.Host = tc.server.Host
	tc.server.Page(asMetadataPath, oauthtest.Document(tc.metadata()))
	if got := tc.found().Resource; got != tc.server.URL+"/mcp" {
		t.Errorf("resource %q", got)
	}
}

func TestResourceMismatch_CL2_K07(t *testing.T) {
	for name, resource := range map[string]func(tc *testClient) any{
		"another host":      func(*testClient) any { return "https://mcp.notion.example/mcp" },
		"another path":      func(tc *testClient) any { return tc.server.URL + "/other" },
		"a longer path":     func(tc *testClient) any { return tc.server.URL + "/mcp/x" },
		"only the origin":   func(tc *testClient) any { return tc.server.URL },
		"with a fragment":   func(tc *testClient) any { return tc.server.URL + "/mcp#x" },
		"with a user":       func(tc *testClient) any { return strings.Replace(tc.server.URL, "://", "://u@", 1) + "/mcp" },
		"none":              func(*testClient) any { return nil },
		"of the wrong type": func(tc *testClient) any { return []string{tc.server.URL + "/mcp"} },
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "resource", resource(tc))))
			_, err := tc.find()
			wantProblem(t, err, ProviderUnusable)
			if got := tc.provider.Hits(); got != 0 {
				t.Errorf("the provider got %d requests, want none", got)
			}
		})
	}
	t.Run("the same in another spelling", func(t *testing.T) {
		tc := newTestClient(t)
		tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "resource", tc.server.URL+"/mcp/")))
		if got := tc.found().Resource; got != tc.server.URL+"/mcp/" {
			t.Errorf("resource %q is not what the server calls itself", got)
		}
	})
	t.Run("the operator knows its public name", func(t *testing.T) {
		tc := newTestClient(t)
		tc.resource.Identifier = "https://mcp.notion.example/mcp"
		tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "resource", "https://mcp.notion.example/mcp")))
		if got := tc.found().Resource; got != "https://mcp.notion.example/mcp" {
			t.Errorf("resource %q", got)
		}
	})
}

func TestSeveralProviders_CL3(t *testing.T) {
	tc := newTestClient(t)
	dead := oauthtest.NewHost(t)
	tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "authorization_servers", []string{dead.URL, tc.provider.URL})))
	if got := tc.found().Issuer; got != tc.provider.URL {
		t.Errorf("issuer %q, want %q", got, tc.provider.URL)
	}
	for _, none := range []any{nil, []string{}, []string{""}, []string{dead.URL}, "text", []int{1}} {
		tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "authorization_servers", none)))
		_, err := tc.find()
		wantProblem(t, err, ProviderUnusable)
	}
}

// An outage is told as one, and makes no server its own provider.
func TestDiscoveryOutage(t *testing.T) {
	for _, status := range []int{500, 503, 429} {
		down := oauthtest.Answer(status, "text/html", "canary")
		for name, tt := range map[string]struct {
			breaks func(tc *testClient)
			want   Problem
		}{
			"provider metadata":               {func(tc *testClient) { tc.provider.Page(asMetadataPath, down) }, ProviderDown},
			"provider metadata, second place": {func(tc *testClient) { tc.provider.Page(asMetadataPath, nil); tc.provider.Page(oidcPath, down) }, ProviderDown},
			"provider metadata, good second": {func(tc *testClient) {
				tc.provider.Page(asMetadataPath, down)
				tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
			}, ""},
			"resource metadata":               {func(tc *testClient) { tc.server.Page(prmPath, down) }, ProviderDown},
			"resource metadata, second place": {func(tc *testClient) { tc.server.Page(prmPath, nil); tc.server.Page(oauth.ProtectedResourcePath, down) }, ProviderDown},
			"resource metadata, good second": {func(tc *testClient) {
				tc.server.Page(prmPath, down)
				tc.server.Page(oauth.ProtectedResourcePath, oauthtest.Document(tc.server.Metadata()))
			}, ""},
			"everything of the server":         {func(tc *testClient) { tc.server.Page("/mcp", down); tc.server.Page(prmPath, down) }, ProviderDown},
			"neither there nor out of order":   {func(tc *testClient) { tc.provider.Page(asMetadataPath, nil) }, ProviderUnusable},
			"a server that is its own, honest": {func(tc *testClient) { tc.server.Page(prmPath, nil) }, ProviderUnusable},
		} {
			tc := newTestClient(t)
			tt.breaks(tc)
			_, err := tc.find()
			if got := problemOf(err); got != tt.want || err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%s, %d: %v, want %q", name, status, err, tt.want)
			}
			if n := len(tc.server.Requests(asMetadataPath)); n > 0 && tt.want == ProviderDown {
				t.Errorf("%s, %d: the server is asked for metadata of a provider", name, status)
			}
		}
	}
}

func TestFindProviderMetadata_CL4(t *testing.T) {
	for _, tt := range []struct{ issuerPath, at string }{
		{"", asMetadataPath},
		{"", oidcPath},
		{"/", asMetadataPath},
		{"/tenant", asMetadataPath + "/tenant"},
		{"/tenant", oidcPath + "/tenant"},
		{"/tenant", "/tenant" + oidcPath},
		{"/a/b", asMetadataPath + "/a/b"},
		{"/tenant/", asMetadataPath + "/tenant"},
	} {
		t.Run(tt.issuerPath+" at "+tt.at, func(t *testing.T) {
			tc := newTestClient(t)
			issuer := tc.provider.URL + tt.issuerPath
			tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(tc.server.Metadata(), "authorization_servers", []string{issuer})))
			tc.provider.Page(asMetadataPath, nil)
			tc.provider.Page(tt.at, oauthtest.Document(oauthtest.With(tc.metadata(), "issuer", issuer)))
			if got := tc.found().Issuer; got != issuer {
				t.Errorf("issuer %q, want %q", got, issuer)
			}
		})
	}
}

func TestMetadataOfAnotherIssuer_CL5_K04(t *testing.T) {
	for name, issuer := range map[string]func(tc *testClient) any{
		"an honest one":    func(*testClient) any { return "https://accounts.example" },
		"two slashes more": func(tc *testClient) any { return tc.provider.URL + "//" },
		"upper case":       func(tc *testClient) any { return strings.ToUpper(tc.provider.URL[:4]) + tc.provider.URL[4:] },
		"a path":           func(tc *testClient) any { return tc.provider.URL + "/tenant" },
		"a path, slash":    func(tc *testClient) any { return tc.provider.URL + "/tenant/" },
		"default port off": func(tc *testClient) any { return tc.provider.URL + ":443" },
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "issuer", issuer(tc))))
			tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata())) // does not save it
			_, err := tc.find()
			wantProblem(t, err, ProviderUnusable)
		})
	}
}

func TestNoPKCE_CL6_K08(t *testing.T) {
	for name, methods := range map[string]any{"absent": nil, "empty": []string{}, "plain only": []string{"plain"}} {
		t.Run(name, func(t *testing.T) {
			tc := newTestClient(t)
			tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), "code_challenge_methods_supported", methods)))
			_, err := tc.find()
			wantProblem(t, err, ProviderUnusable)

			tc.Quirks.AllowMissingPKCE = true
			to, err := (&AuthorizationRequest{Verifier: "v"}).URL(tc.found().AuthorizationEndpoint, tc.Quirks)
			if err != nil || !strings.Contains(to, "code_challenge="+oauth.CodeChallenge("v")+"&code_challenge_method=S256") {
				t.Errorf("%s, %v: the challenge is not sent all the same", to, err)
			}
		})
	}
}

func TestEndpoints_K05_CL20(t *testing.T) {
	bad := []string{
		"", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "vbscript:x", "ftp://as.example/a",
		"https://user:pw@as.example/a", "https://as.example/a#f", "https:opaque", "//as.example/a", "/a",
		"http://10.0.0.1/a", "http://as.example/a", "\x00https://as.example/a", "$(id)",
	}
	for _, member := range []string{"authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"} {
		for _, endpoint := range bad {
			if endpoint == "" && member != "authorization_endpoint" && member != "token_endpoint" {
				continue // optional
			}
			t.Run(member+" "+endpoint, func(t *testing.T) {
				tc := newTestClient(t)
				tc.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(tc.metadata(), member, endpoint)))
				p, err := tc.find()
				wantProblem(t, err, ProviderUnusable)
				if p != nil {
					t.Errorf("found %+v", p)
				}
			})
		}
	}
}

// Google names accounts.google.com/ where its issuer has no slash.
func TestConfiguredIssuer_CL5(t *testing.T) {
	tc := newTestClient(t)
	tc.resource.Issuer = tc.provider.URL
	tc.server.Page(prmPath, oauthtest.Document(oauthtest.With(oauthtest.With(tc.server.Metadata(), "authorization_servers", []string{tc.provider.URL + "/"}), "scopes_supported", []string{"a"})))
	if got := strings.Join(tc.found().Scopes, " "); got != "a" {
		t.Errorf("scope %q", got)
	}
}
