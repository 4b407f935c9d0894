//go:build integration

package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// The provider and the MCP servers of the following tests are real ones: with
// no gateway, an MCP client signs in and is told whose token it has. A token
// for one server is worth nothing at the other.
func TestAccountsWithoutGateway(t *testing.T) {
	provider := harness.StartProvider(t, time.Minute)
	notes := harness.ServeAccounts(t, provider, "/notes/mcp")
	issues := harness.ServeAccounts(t, provider, "/opaque/issues/mcp")
	for name, server := range map[string]struct{ own, other *harness.Accounts }{
		"JWT":    {notes, issues},
		"opaque": {issues, notes},
	} {
		t.Run(name, func(t *testing.T) {
			browser := harness.NewBrowser(t)
			handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
				DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
					Metadata: &oauthex.ClientRegistrationMetadata{
						ApplicationType:         "native",
						RedirectURIs:            []string{"http://127.0.0.1/callback"},
						TokenEndpointAuthMethod: "none",
					},
				},
				AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
					answer := browser.LogIn(t, browser.Open(t, args.URL), harness.Ada).Leaving.Query()
					return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			transport := &mcp.StreamableClientTransport{Endpoint: server.own.URL, OAuthHandler: handler}
			mustBe(t, connect(t, transport, nil, ""), harness.Ada)
			source, err := handler.TokenSource(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			token, err := source.Token()
			if err != nil {
				t.Fatal(err)
			}
			if account, err := server.other.WhoseToken(token.AccessToken); err == nil {
				t.Errorf("the other server takes it for %q's", account)
			}
			if account, err := server.own.WhoseToken(token.AccessToken); err != nil || account != harness.Ada {
				t.Errorf("its own server takes it for %q's: %v", account, err)
			}
		})
	}
}
