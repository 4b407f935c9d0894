package accounts

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
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
			g := newGateway(t, func(_ *config.Site, s *config.Server) {
				s.Auth.ClientID, s.Auth.ClientSecret, s.Auth.CallbackPath, s.Auth.AuthMethod = "ours", tt.secret, "/own/callback", tt.quirk
			})
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "token_endpoint_auth_methods_supported", tt.supported)))
			request := g.connect()
			if request.Get("client_id") != "ours" || request.Get("redirect_uri") != testIssuer+"/own/callback" {
				t.Errorf("request %v", request)
			}
			r := g.provider.Requests("/token")
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
	g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID, s.Auth.ClientSecret = "ours", "hush" })
	a := g.answerTo(g.start(g.request()))
	g.cfg.Servers[0].Auth.ClientID, g.cfg.Servers[0].Auth.ClientSecret = "other", "hush too"
	_, err := g.Finish(t.Context(), a)
	if wantProblem(t, err, client.ProviderRefused); len(g.provider.Requests("/token")) != 0 {
		t.Error("the code went with another client")
	}
}

func TestStoreFails_Pin(t *testing.T) {
	g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.ClientID = "ours" })
	pinned := g.seal(issuerPin{}, "another place")
	g.connect()
	c := g.store.clients[0]
	c.Secret = pinned
	if err := g.store.swapUpstreamClient(t.Context(), c, g.clock.Now()); err != nil {
		t.Fatal(err)
	}
	_, err := g.Start(t.Context(), g.request())
	wantProblem(t, err, client.ProviderUnusable)
	if err == nil || !strings.Contains(err.Error(), "does not open") {
		t.Errorf("a pin that cannot be read: %v", err)
	}
}
