package accounts

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestConfiguredProvider_CL1(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) {
		s.Auth.ClientID, s.Auth.ClientSecret = "gh", "hush"
	})
	g.cfg.Servers[0].Auth.AuthorizationEndpoint = g.provider.URL + "/authorize?allow_signup=false"
	g.cfg.Servers[0].Auth.TokenEndpoint = g.provider.URL + "/token"
	g.provider.Page("/token", oauthtest.Answer(200, "application/x-www-form-urlencoded", "access_token=gho_1&scope=repo%2Cuser&token_type=bearer"))
	request := g.connect()
	if request.Get("allow_signup") != "false" || request.Get("client_id") != "gh" || request.Get("redirect_uri") != testIssuer+config.SharedCallbackPath {
		t.Errorf("request %v", request)
	}
	c, s := g.connection()
	if c.Provider != g.provider.URL || strings.Join(c.Scopes, " ") != "repo user" || s.AccessToken != "gho_1" || !c.TokenExpiresAt.IsZero() {
		t.Errorf("connection %+v %+v", c, s)
	}
	if g.server.Hits() != 0 {
		t.Error("something was discovered")
	}
	if len(g.provider.Requests("/token")) != 1 || g.provider.Requests("/token")[0].Header.Get("Authorization") == "" {
		t.Error("not one token request with the secret")
	}
}

func TestIssuerWithAndWithoutSlash_CL5(t *testing.T) {
	for name, tt := range map[string]struct{ named, says, configured string }{
		"named with it":             {"/", "", ""},
		"named without":             {"", "/", ""},
		"configured with it":        {"", "", "/"},
		"configured, says a slash":  {"/", "/", "none"},
		"configured, named neither": {"/other", "", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" })
			g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "authorization_servers", []string{g.provider.URL + tt.named})))
			issuer := g.provider.URL + tt.says
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(oauthtest.With(g.metadata(), "issuer", issuer), "authorization_response_iss_parameter_supported", true)))
			if tt.configured != "" {
				g.cfg.Servers[0].Auth.Issuer = g.provider.URL + strings.TrimPrefix(tt.configured, "none")
			}
			a := g.answerTo(g.start(g.request()))
			a.Iss = issuer // the provider's own
			if _, err := g.Finish(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if c, _ := g.connection(); c.Provider != issuer {
				t.Errorf("provider %q, want %q", c.Provider, issuer)
			}
			// The refresh knows the client as the provider's.
			g.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"}))
			if _, err := g.Refused(t.Context(), testOwner, "notion", bearer("at-1")); err != nil {
				t.Error("refresh:", err)
			}
			// The other spelling is no other provider.
			g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "authorization_servers", []string{g.provider.URL + "/"})))
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "issuer", g.provider.URL+"/")))
			g.start(g.request())
		})
	}
}

func TestIssMustComeAsText(t *testing.T) {
	g := newGateway(t)
	g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "authorization_response_iss_parameter_supported", "true")))
	_, err := g.Finish(t.Context(), g.answerTo(g.start(g.request())))
	wantProblem(t, err, client.NotThatProvider)
}

func TestManyScopes(t *testing.T) {
	const mostScopes = 500
	names := func(n int) []string {
		scopes := make([]string, n)
		for i := range scopes {
			scopes[i] = fmt.Sprintf("scope.%03d", i)
		}
		return scopes
	}
	for name, offer := range map[string]func(g *gateway, scopes []string){
		"in the metadata": func(g *gateway, scopes []string) {
			g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "scopes_supported", scopes)))
		},
		"in the challenge": func(g *gateway, scopes []string) {
			g.challenge(`Bearer scope="` + strings.Join(scopes, " ") + `"`)
		},
		"configured": func(g *gateway, scopes []string) { g.cfg.Servers[0].Auth.Scopes = scopes },
	} {
		for _, n := range []int{64, 65, 300, mostScopes} {
			g := newGateway(t)
			offer(g, names(n))
			got := strings.Fields(g.start(g.request()).Get("scope"))
			if !slices.Equal(got, names(n)) {
				t.Errorf("%s: %d of %d scopes asked for", name, len(got), n)
			}
		}
		g := newGateway(t)
		offer(g, names(mostScopes+1))
		_, err := g.Start(t.Context(), g.request())
		wantProblem(t, err, client.ProviderUnusable)
		if err == nil || !strings.Contains(err.Error(), "501 scopes that server notion wants are too many") || !strings.Contains(err.Error(), "configure scopes") {
			t.Errorf("%s: told %v", name, err)
		}
		if n := len(g.provider.Requests("/register")); n != 0 {
			t.Errorf("%s: registered all the same", name)
		}
	}
}

// A provider that cannot be used is not gone on with: nobody registers there,
// and no browser is sent there.
func TestUnusableProvider_K04_K07_K08(t *testing.T) {
	for name, arrange := range map[string]func(g *gateway){
		"another resource": func(g *gateway) {
			g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "resource", g.server.URL+"/other")))
		},
		"another issuer": func(g *gateway) {
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "issuer", "https://other.example")))
		},
		"no PKCE": func(g *gateway) {
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "code_challenge_methods_supported", nil)))
		},
		"an endpoint that runs": func(g *gateway) {
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "authorization_endpoint", "javascript:alert(1)")))
		},
		"a token endpoint inside": func(g *gateway) {
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "token_endpoint", "http://10.0.0.1/token")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			arrange(g)
			to, err := g.Start(t.Context(), g.request())
			wantProblem(t, err, client.ProviderUnusable)
			if n := len(g.provider.Requests("/register")); to != "" || n != 0 {
				t.Errorf("%d registrations, and the browser is sent to %q", n, to)
			}
		})
	}
}

// challenge has the server ask for credentials with one.
func (g *gateway) challenge(value string) {
	g.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", value)
		w.WriteHeader(http.StatusUnauthorized)
	})
}
