package client

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

func TestFindResourceMetadata_CL1(t *testing.T) {
	for name, tt := range map[string]struct {
		challenge func(l *lab) string
		path      string
		resource  func(l *lab) string
	}{
		"where the challenge says":   {func(l *lab) string { return `Bearer resource_metadata="` + l.server.URL + `/own/place"` }, "/own/place", nil},
		"challenge without a place":  {func(*lab) string { return `Bearer scope="a"` }, prmPath, nil},
		"no challenge":               {func(*lab) string { return "" }, prmPath, nil},
		"at the root":                {func(*lab) string { return "" }, oauth.ProtectedResourcePath, nil},
		"at the root for the origin": {func(*lab) string { return "" }, oauth.ProtectedResourcePath, func(l *lab) string { return l.server.URL }},
		"place of the challenge is gone": {
			func(l *lab) string { return `Bearer resource_metadata="` + l.server.URL + `/gone"` }, prmPath, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.challenge(tt.challenge(l))
			l.server.Page(prmPath, nil)
			m := l.resourceMetadata()
			if tt.resource != nil {
				m["resource"] = tt.resource(l)
			}
			l.server.Page(tt.path, oauthtest.Document(m))
			if got := l.found().Resource; got != m["resource"] {
				t.Errorf("resource %q, want %q", got, m["resource"])
			}
		})
	}
}

// A server of revision 2025-03-26 is its own authorization server.
func TestServerIsItsOwnProvider_CL1(t *testing.T) {
	l := newLab(t)
	l.server.Page(prmPath, nil)
	l.provider = l.server
	l.server.Page(asMetadataPath, oauthtest.Document(l.metadata()))
	if got := l.found().Resource; got != l.server.URL+"/mcp" {
		t.Errorf("resource %q", got)
	}
}

func TestResourceMismatch_CL2_K07(t *testing.T) {
	for name, resource := range map[string]func(l *lab) any{
		"another host":      func(*lab) any { return "https://mcp.notion.example/mcp" },
		"another path":      func(l *lab) any { return l.server.URL + "/other" },
		"a longer path":     func(l *lab) any { return l.server.URL + "/mcp/x" },
		"only the origin":   func(l *lab) any { return l.server.URL },
		"with a fragment":   func(l *lab) any { return l.server.URL + "/mcp#x" },
		"with a user":       func(l *lab) any { return strings.Replace(l.server.URL, "://", "://u@", 1) + "/mcp" },
		"none":              func(*lab) any { return nil },
		"of the wrong type": func(l *lab) any { return []string{l.server.URL + "/mcp"} },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "resource", resource(l))))
			_, err := l.find()
			wantProblem(t, err, ProviderUnusable)
			if l.provider.Hits() != 0 {
				t.Error("the provider was asked")
			}
		})
	}
	t.Run("the same in another spelling", func(t *testing.T) {
		l := newLab(t)
		l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "resource", l.server.URL+"/mcp/")))
		if got := l.found().Resource; got != l.server.URL+"/mcp/" {
			t.Errorf("resource %q is not what the server calls itself", got)
		}
	})
	t.Run("the operator knows its public name", func(t *testing.T) {
		l := newLab(t)
		l.resource.Identifier = "https://mcp.notion.example/mcp"
		l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "resource", "https://mcp.notion.example/mcp")))
		if got := l.found().Resource; got != "https://mcp.notion.example/mcp" {
			t.Errorf("resource %q", got)
		}
	})
}

func TestSeveralProviders_CL3(t *testing.T) {
	l := newLab(t)
	dead := oauthtest.NewHost(t)
	l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "authorization_servers", []string{dead.URL, l.provider.URL})))
	if got := l.found().Issuer; got != l.provider.URL {
		t.Errorf("issuer %q, want %q", got, l.provider.URL)
	}
	for _, none := range []any{nil, []string{}, []string{""}, []string{dead.URL}, "text", []int{1}} {
		l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "authorization_servers", none)))
		_, err := l.find()
		wantProblem(t, err, ProviderUnusable)
	}
}

// An outage is told as one, and makes no server its own provider.
func TestDiscoveryOutage(t *testing.T) {
	for _, status := range []int{500, 503, 429} {
		down := oauthtest.Answer(status, "text/html", "canary")
		for name, tt := range map[string]struct {
			breaks func(l *lab)
			want   Problem
		}{
			"provider metadata":               {func(l *lab) { l.provider.Page(asMetadataPath, down) }, ProviderDown},
			"provider metadata, second place": {func(l *lab) { l.provider.Page(asMetadataPath, nil); l.provider.Page(oidcPath, down) }, ProviderDown},
			"provider metadata, good second": {func(l *lab) {
				l.provider.Page(asMetadataPath, down)
				l.provider.Page(oidcPath, oauthtest.Document(l.metadata()))
			}, ""},
			"resource metadata":               {func(l *lab) { l.server.Page(prmPath, down) }, ProviderDown},
			"resource metadata, second place": {func(l *lab) { l.server.Page(prmPath, nil); l.server.Page(oauth.ProtectedResourcePath, down) }, ProviderDown},
			"resource metadata, good second": {func(l *lab) {
				l.server.Page(prmPath, down)
				l.server.Page(oauth.ProtectedResourcePath, oauthtest.Document(l.resourceMetadata()))
			}, ""},
			"everything of the server":         {func(l *lab) { l.server.Page("/mcp", down); l.server.Page(prmPath, down) }, ProviderDown},
			"neither there nor out of order":   {func(l *lab) { l.provider.Page(asMetadataPath, nil) }, ProviderUnusable},
			"a server that is its own, honest": {func(l *lab) { l.server.Page(prmPath, nil) }, ProviderUnusable},
		} {
			l := newLab(t)
			tt.breaks(l)
			_, err := l.find()
			if got := problemOf(err); got != tt.want || err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%s, %d: %v, want %q", name, status, err, tt.want)
			}
			if n := len(l.server.Requests(asMetadataPath)); n > 0 && tt.want == ProviderDown {
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
			l := newLab(t)
			issuer := l.provider.URL + tt.issuerPath
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "authorization_servers", []string{issuer})))
			l.provider.Page(asMetadataPath, nil)
			l.provider.Page(tt.at, oauthtest.Document(oauthtest.With(l.metadata(), "issuer", issuer)))
			if got := l.found().Issuer; got != issuer {
				t.Errorf("issuer %q, want %q", got, issuer)
			}
		})
	}
}

func TestMetadataOfAnotherIssuer_CL5_K04(t *testing.T) {
	for name, issuer := range map[string]func(l *lab) any{
		"an honest one":    func(*lab) any { return "https://accounts.example" },
		"two slashes more": func(l *lab) any { return l.provider.URL + "//" },
		"upper case":       func(l *lab) any { return strings.ToUpper(l.provider.URL[:4]) + l.provider.URL[4:] },
		"a path":           func(l *lab) any { return l.provider.URL + "/tenant" },
		"a path, slash":    func(l *lab) any { return l.provider.URL + "/tenant/" },
		"default port off": func(l *lab) any { return l.provider.URL + ":443" },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "issuer", issuer(l))))
			l.provider.Page(oidcPath, oauthtest.Document(l.metadata())) // does not save it
			_, err := l.find()
			wantProblem(t, err, ProviderUnusable)
		})
	}
}

func TestNoPKCE_CL6_K08(t *testing.T) {
	for name, methods := range map[string]any{"absent": nil, "empty": []string{}, "plain only": []string{"plain"}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "code_challenge_methods_supported", methods)))
			_, err := l.find()
			wantProblem(t, err, ProviderUnusable)

			l.Quirks.AllowMissingPKCE = true
			to, err := (&AuthorizationRequest{Verifier: "v"}).URL(l.found().AuthorizationEndpoint, l.Quirks)
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
				l := newLab(t)
				l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), member, endpoint)))
				p, err := l.find()
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
	l := newLab(t)
	l.resource.Issuer = l.provider.URL
	l.server.Page(prmPath, oauthtest.Document(oauthtest.With(oauthtest.With(l.resourceMetadata(), "authorization_servers", []string{l.provider.URL + "/"}), "scopes_supported", []string{"a"})))
	if got := strings.Join(l.found().Scopes, " "); got != "a" {
		t.Errorf("scope %q", got)
	}
}
