//go:build integration

package integration_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A gateway on https is known to a provider that reads client ID metadata
// documents without any registration there: its client ID is a URL of its own,
// another one for each server. It says who it is with a key or not at all, and
// that carries a connection from the code through a refresh to the revocation.
func TestClientMetadataDocument(t *testing.T) {
	provider := harness.StartProvider(t, 4*time.Second)
	notes := harness.ServeAccounts(t, provider, "/opaque/notes/mcp")
	issues := harness.ServeAccounts(t, provider, "/opaque/issues/mcp")
	g := harness.Run(t, harness.Config{
		TLS: true,
		Directives: identities + "insecure_allow_loopback\nserver notes /notes " + notes.URL + ` {
			title Notes
			auth per_user_oauth
		}
		server issues /issues ` + issues.URL + ` {
			title Issues
			auth per_user_oauth {
				auth_method private_key_jwt
			}
		}`,
		Env: keys,
	})
	provider.Trust(t, g.Root())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the provider printed last:\n%s", provider.Tail())
		}
	})

	for i, tt := range []struct {
		server, title, authMethod string
		upstream                  *harness.Accounts
	}{
		{"notes", "Notes", "none", notes},
		{"issues", "Issues", "private_key_jwt", issues},
	} {
		id := g.URL + "/oauth/client/" + tt.server
		t.Run(tt.authMethod, func(t *testing.T) {
			before := provider.Counts(t)
			browser := g.NewBrowser(t)
			client := g.Register(t, "http://127.0.0.1:9/callback")
			services := browser.Identify(t, browser.Open(t, client.Link(g.URL+"/"+tt.server)), alice)
			atProvider := browser.Follow(t, browser.Press(t, services, "Connect "+tt.title, nil))
			services = browser.Follow(t, browser.LogIn(t, atProvider, harness.Ada))
			services.MustShow(t, "Connected")
			answer := browser.Press(t, services, harness.ApproveButton, nil).Leaving
			token := client.Redeem(t, answer, g.URL+"/"+tt.server).AccessToken
			session := connect(t, withOver(g.HTTP.Transport, token, g.URL+"/"+tt.server), nil, "")
			mustBe(t, session, harness.Ada)

			until(t, session, func(got harness.WhoAmI, err error) bool {
				if err != nil || got.Account != harness.Ada {
					t.Fatalf("the call came as %q: %v", got.Account, err)
				}
				return provider.Counts(t).Refreshes > before.Refreshes
			})
			browser.Submit(t, browser.Open(t, g.URL+"/oauth/account"), disconnectPath, nil)
			oauthtest.Eventually(t, "the provider is not told", func() bool { return provider.Counts(t).Revocations > before.Revocations })
			seen := tt.upstream.Seen()
			if account, err := tt.upstream.WhoseToken(seen[len(seen)-1].Token); err == nil {
				t.Errorf("the token still works, as %q's", account)
			}

			counts := provider.Counts(t)
			if counts.Registrations != 0 || counts.Refusals != 0 || counts.Codes != i+1 {
				t.Errorf("%+v", counts)
			}
			if len(counts.Clients) != i+1 || counts.Clients[i] != id || !slices.Contains(counts.Documents, id) {
				t.Errorf("the provider knows %q and read %q, want %s", counts.Clients, counts.Documents, id)
			}
			mustDescribe(t, g, id, tt.authMethod)
		})
	}
}

// mustDescribe fails the test unless the document is one of a client with this
// ID that authenticates so, and holds no secret.
func mustDescribe(t *testing.T, g *harness.Gateway, id, authMethod string) {
	t.Helper()
	resp, err := g.HTTP.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var document struct {
		ClientID     string   `json:"client_id"`
		Secret       string   `json:"client_secret"`
		RedirectURIs []string `json:"redirect_uris"`
		AuthMethod   string   `json:"token_endpoint_auth_method"`
		JWKS         struct {
			Keys []map[string]string
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || document.ClientID != id || document.AuthMethod != authMethod || document.Secret != "" {
		t.Errorf("%s: %+v", resp.Status, document)
	}
	for _, redirectURI := range document.RedirectURIs {
		if u, err := url.Parse(redirectURI); err != nil || u.Scheme+"://"+u.Host != g.URL {
			t.Errorf("it sends browsers to %s", redirectURI)
		}
	}
	if hasKeys := len(document.JWKS.Keys) > 0; hasKeys != (authMethod == "private_key_jwt") {
		t.Errorf("keys: %v", document.JWKS.Keys)
	}
	for _, key := range document.JWKS.Keys {
		if key["d"] != "" {
			t.Error("the document holds a private key")
		}
	}
}
