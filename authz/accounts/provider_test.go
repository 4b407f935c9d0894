package accounts

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestConfiguredProvider_CL1(t *testing.T) {
	l := newLab(t, func(_ *config.Site, s *config.Server) {
		s.Auth.ClientID, s.Auth.ClientSecret = "gh", "hush"
	})
	l.cfg.Servers[0].Auth.AuthorizationEndpoint = l.provider.URL + "/authorize?allow_signup=false"
	l.cfg.Servers[0].Auth.TokenEndpoint = l.provider.URL + "/token"
	l.provider.Page("/token", oauthtest.Answer(200, "application/x-www-form-urlencoded", "access_token=gho_1&scope=repo%2Cuser&token_type=bearer"))
	request := l.connect()
	if request.Get("allow_signup") != "false" || request.Get("client_id") != "gh" || request.Get("redirect_uri") != testIssuer+config.SharedCallbackPath {
		t.Errorf("request %v", request)
	}
	c, s := l.connection()
	if c.Provider != l.provider.URL || strings.Join(c.Scopes, " ") != "repo user" || s.AccessToken != "gho_1" || !c.TokenExpiresAt.IsZero() {
		t.Errorf("connection %+v %+v", c, s)
	}
	if l.server.Hits() != 0 {
		t.Error("something was discovered")
	}
	if len(l.provider.Requests("/token")) != 1 || l.provider.Requests("/token")[0].Header.Get("Authorization") == "" {
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
			l := newLab(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" })
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "authorization_servers", []string{l.provider.URL + tt.named})))
			issuer := l.provider.URL + tt.says
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(oauthtest.With(l.metadata(), "issuer", issuer), "authorization_response_iss_parameter_supported", true)))
			if tt.configured != "" {
				l.cfg.Servers[0].Auth.Issuer = l.provider.URL + strings.TrimPrefix(tt.configured, "none")
			}
			a := l.answerTo(l.start(l.request()))
			a.Iss = issuer // the provider's own
			if _, err := l.Finish(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if c, _ := l.connection(); c.Provider != issuer {
				t.Errorf("provider %q, want %q", c.Provider, issuer)
			}
			// The refresh knows the client as the provider's.
			l.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-2", "token_type": "Bearer"}))
			if _, err := l.Refused(t.Context(), testOwner, "notion", bearer("at-1")); err != nil {
				t.Error("refresh:", err)
			}
			// The other spelling is no other provider.
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "authorization_servers", []string{l.provider.URL + "/"})))
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "issuer", l.provider.URL+"/")))
			l.start(l.request())
		})
	}
}

func TestIssMustComeAsText(t *testing.T) {
	l := newLab(t)
	l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "authorization_response_iss_parameter_supported", "true")))
	_, err := l.Finish(t.Context(), l.answerTo(l.start(l.request())))
	wantProblem(t, err, NotThatProvider)
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
	for name, offer := range map[string]func(l *lab, scopes []string){
		"in the metadata": func(l *lab, scopes []string) {
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "scopes_supported", scopes)))
		},
		"in the challenge": func(l *lab, scopes []string) {
			l.challenge(`Bearer scope="` + strings.Join(scopes, " ") + `"`)
		},
		"configured": func(l *lab, scopes []string) { l.cfg.Servers[0].Auth.Scopes = scopes },
	} {
		for _, n := range []int{64, 65, 300, mostScopes} {
			l := newLab(t)
			offer(l, names(n))
			got := strings.Fields(l.start(l.request()).Get("scope"))
			if !slices.Equal(got, names(n)) {
				t.Errorf("%s: %d of %d scopes asked for", name, len(got), n)
			}
		}
		l := newLab(t)
		offer(l, names(mostScopes+1))
		_, err := l.Start(t.Context(), l.request())
		wantProblem(t, err, ProviderUnusable)
		if err == nil || !strings.Contains(err.Error(), "501 scopes that server notion wants are too many") || !strings.Contains(err.Error(), "configure scopes") {
			t.Errorf("%s: told %v", name, err)
		}
		if n := len(l.provider.Requests("/register")); n != 0 {
			t.Errorf("%s: registered all the same", name)
		}
	}
}

// A provider that cannot be used is not gone on with: nobody registers there,
// and no browser is sent there.
func TestUnusableProvider_K04_K07_K08(t *testing.T) {
	for name, arrange := range map[string]func(l *lab){
		"another resource": func(l *lab) {
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "resource", l.server.URL+"/other")))
		},
		"another issuer": func(l *lab) {
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "issuer", "https://other.example")))
		},
		"no PKCE": func(l *lab) {
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "code_challenge_methods_supported", nil)))
		},
		"an endpoint that runs": func(l *lab) {
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "authorization_endpoint", "javascript:alert(1)")))
		},
		"a token endpoint inside": func(l *lab) {
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "token_endpoint", "http://10.0.0.1/token")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			arrange(l)
			to, err := l.Start(t.Context(), l.request())
			wantProblem(t, err, ProviderUnusable)
			if n := len(l.provider.Requests("/register")); to != "" || n != 0 {
				t.Errorf("%d registrations, and the browser is sent to %q", n, to)
			}
		})
	}
}

// challenge has the server ask for credentials with one.
func (l *lab) challenge(value string) {
	l.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", value)
		w.WriteHeader(http.StatusUnauthorized)
	})
}
