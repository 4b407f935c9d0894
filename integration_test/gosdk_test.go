package integration_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// The official Go SDK, as a client that registers itself and as one with a
// client ID metadata document. It refreshes ten seconds before expiry, so with
// short-lived tokens it refreshes before every call.
func TestGoSDKClient(t *testing.T) {
	upstream := harness.Record(t)
	documents := harness.ServeDocuments(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "insecure_allow_loopback\nserver recorder /mcp " + upstream.URL,
		Env:        append(documents.Env, keys...),
	})
	const redirectURI = "http://127.0.0.1:33333/callback"

	for name, config := range map[string]auth.AuthorizationCodeHandlerConfig{
		"dynamic registration": {
			DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
				Metadata: &oauthex.ClientRegistrationMetadata{
					ClientName:   "Go client",
					RedirectURIs: []string{redirectURI},
					GrantTypes:   []string{"authorization_code", "refresh_token"},
				},
			},
		},
		"metadata document": {
			ClientIDMetadataDocumentConfig: &auth.ClientIDMetadataDocumentConfig{
				URL: documents.Publish("Go client", "http://127.0.0.1/callback"),
			},
			RedirectURL: redirectURI,
		},
	} {
		t.Run(name, func(t *testing.T) {
			signIns, before := 0, g.Requests(t, http.MethodPost, "/api/oauth/per-user/token")
			config.RequestRefreshToken = true
			config.AuthorizationCodeFetcher = func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
				signIns++
				answer := harness.NewBrowser(t).SignIn(t, args.URL, alice).Leaving.Query()
				return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
			}
			handler, err := auth.NewAuthorizationCodeHandler(&config)
			if err != nil {
				t.Fatal(err)
			}
			client := mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, nil)
			session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: g.URL + "/mcp", OAuthHandler: handler}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()

			tools, err := session.ListTools(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "greet" }) {
				t.Errorf("tools are %v, want greet among them", tools.Tools)
			}
			result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "Ada"}})
			if err != nil {
				t.Fatal(err)
			}
			if text := result.Content[0].(*mcp.TextContent).Text; text != "Hello, Ada!" {
				t.Errorf("greet answers %q", text)
			}

			if signIns != 1 {
				t.Errorf("the person signed in %d times, want once", signIns)
			}
			g.AwaitRequests(t, http.MethodPost, "/api/oauth/per-user/token", before+3) // the code and two refreshes
		})
	}
}

// The official Go SDK's handler for programs that act for nobody: it finds everything
// from the server's URL, gets a token with its secret, and lists and calls what the
// access rules leave it.
func TestGoSDKMachine_C21(t *testing.T) {
	const secret = "batch-secret-0123456789abcdef"
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server recorder /mcp " + upstream.URL + " {\ntools {\nallow greet user:client:batch\n}\n}\n" +
			"client batch {\nsecret {env.BATCH_SECRET}\nclient_credentials\n}\n",
		Env: append(slices.Clone(keys), "BATCH_SECRET="+secret),
	})
	connect := func(secret string) (*mcp.ClientSession, error) {
		handler, err := extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{
			Credentials: &oauthex.ClientCredentials{ClientID: "batch", ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: secret}},
		})
		if err != nil {
			t.Fatal(err)
		}
		client := mcp.NewClient(&mcp.Implementation{Name: "integration-test", Version: "1"}, nil)
		return client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: g.URL + "/mcp", OAuthHandler: handler}, nil)
	}
	session, err := connect(secret)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tools.Tools) != 1 || tools.Tools[0].Name != "greet" {
		t.Errorf("tools are %v, want greet alone", tools.Tools)
	}
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "Ada"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := result.Content[0].(*mcp.TextContent).Text, "Hello, Ada!"; got != want {
		t.Errorf("greet answers %q, want %q", got, want)
	}
	if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 0 {
		t.Errorf("%d sign-ins began, want none", n)
	}
	if other, err := connect(secret + "x"); err == nil {
		_ = other.Close()
		t.Error("a wrong secret gets in")
	}
	g.MustNotKeep(t, map[string]string{"the secret": secret})
}
