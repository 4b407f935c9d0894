package accounts

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

func TestConfiguredClient_CL7_K09(t *testing.T) {
	both := []string{oauth.AuthSecretBasic, oauth.AuthSecretPost}
	for name, tt := range map[string]struct {
		secret, quirk string
		supported     []string
		want          string
	}{
		"with a secret":            {"s", "", both, oauth.AuthSecretBasic},
		"metadata says nothing":    {"s", "", nil, oauth.AuthSecretBasic},
		"metadata says post":       {"s", "", []string{oauth.AuthSecretPost}, oauth.AuthSecretPost},
		"public":                   {"", "", both, oauth.AuthNone},
		"the operator knows":       {"s", oauth.AuthSecretPost, both, oauth.AuthSecretPost},
		"the operator knows a key": {"", oauth.AuthPrivateKeyJWT, both, oauth.AuthPrivateKeyJWT},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(_ *config.Site, s *config.Server) {
				s.Auth.ClientID, s.Auth.ClientSecret, s.Auth.CallbackPath, s.Auth.AuthMethod = "ours", tt.secret, "/own/callback", tt.quirk
			})
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "token_endpoint_auth_methods_supported", tt.supported)))
			request := l.connect()
			if request.Get("client_id") != "ours" || request.Get("redirect_uri") != testIssuer+"/own/callback" {
				t.Errorf("request %v", request)
			}
			r := l.provider.Requests("/token")
			if len(r) != 1 {
				t.Fatalf("%d token requests", len(r))
			}
			got := oauth.AuthNone
			switch {
			case r[0].Header.Get("Authorization") != "":
				got = oauth.AuthSecretBasic
			case r[0].Form.Has("client_secret"):
				got = oauth.AuthSecretPost
			case r[0].Form.Has("client_assertion"):
				got = oauth.AuthPrivateKeyJWT
			}
			if got != tt.want {
				t.Errorf("authenticates with %s, want %s", got, tt.want)
			}
		})
	}
}

// A configured client that the configuration no longer has is not replaced by
// another one for a code that was made for it.
func TestConfiguredClientChanges_K15(t *testing.T) {
	l := newLab(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" })
	a := l.answerTo(l.start(l.request()))
	l.cfg.Servers[0].Auth.ClientID, l.cfg.Servers[0].Auth.ClientSecret = "other", "hush too"
	_, err := l.Finish(t.Context(), a)
	if wantProblem(t, err, ProviderRefused); len(l.provider.Requests("/token")) != 0 {
		t.Error("the code went with another client")
	}
}

func TestStoreFails_Pin(t *testing.T) {
	l := newLab(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID = "ours" })
	pinned := l.seal(issuerPin{}, "another place")
	l.connect()
	c := l.store.clients[0]
	c.Secret = pinned
	if err := l.store.swapUpstreamClient(t.Context(), c, l.now); err != nil {
		t.Fatal(err)
	}
	_, err := l.Start(t.Context(), l.request())
	wantProblem(t, err, ProviderUnusable)
	if err == nil || !strings.Contains(err.Error(), "does not open") {
		t.Errorf("a pin that cannot be read: %v", err)
	}
}
