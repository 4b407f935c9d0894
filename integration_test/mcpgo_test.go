package integration_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// startMCPGo returns a client for the server and its store of tokens, and what
// it says when it initializes.
func startMCPGo(t *testing.T, server string) (*client.Client, client.TokenStore, mcp.InitializeRequest) {
	t.Helper()
	store := client.NewMemoryTokenStore()
	c, err := client.NewOAuthStreamableHttpClient(server, client.OAuthConfig{
		RedirectURI: "http://localhost:8085/oauth/callback",
		TokenStore:  store,
		PKCEEnabled: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	initialize := mcp.InitializeRequest{}
	initialize.Params.ProtocolVersion = "2025-11-25"
	initialize.Params.ClientInfo = mcp.Implementation{Name: "integration-test", Version: "1"}
	return c, store, initialize
}

// mcp-go registers with an empty scope and leaves discovery, registration and
// PKCE to be asked for one by one.
func TestMCPGoClient(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "server recorder /mcp " + upstream.URL,
		Env:        keys,
	})
	c, store, initialize := startMCPGo(t, g.URL+"/mcp")
	_, err := c.Initialize(t.Context(), initialize)
	if !client.IsOAuthAuthorizationRequiredError(err) {
		t.Fatalf("without a token: %v, want that authorization is required", err)
	}
	signInMCPGo(t, client.GetOAuthHandler(err), func(link string) *oauthtest.Page {
		return harness.NewBrowser(t).SignIn(t, link, harness.Person{UserID: "ada@example.com"})
	})
	if _, err := c.Initialize(t.Context(), initialize); err != nil {
		t.Fatal(err)
	}

	tools, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(tools.Tools, func(tool mcp.Tool) bool { return tool.Name == "greet" }) {
		t.Errorf("tools are %v, want greet among them", tools.Tools)
	}
	first, err := store.GetToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(first.ExpiresAt) + 100*time.Millisecond) // the gateway has a real clock

	call := mcp.CallToolRequest{}
	call.Params.Name = "greet"
	call.Params.Arguments = map[string]any{"name": "Ada"}
	result, err := c.CallTool(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if text := result.Content[0].(mcp.TextContent).Text; text != "Hello, Ada!" {
		t.Errorf("greet answers %q", text)
	}
	second, err := store.GetToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Error("the call after expiry did not refresh and rotate")
	}
	if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 1 {
		t.Errorf("the person signed in %d times, want once", n)
	}
}

// signInMCPGo takes the steps that the client leaves to its user. walk goes from
// the link to the page that leads back.
func signInMCPGo(t *testing.T, handler *transport.OAuthHandler, walk func(link string) *oauthtest.Page) {
	t.Helper()
	if err := handler.RegisterClient(t.Context(), "mcp-go client"); err != nil {
		t.Fatal(err)
	}
	verifier, err := client.GenerateCodeVerifier()
	if err != nil {
		t.Fatal(err)
	}
	state, err := client.GenerateState()
	if err != nil {
		t.Fatal(err)
	}
	link, err := handler.GetAuthorizationURL(t.Context(), state, client.GenerateCodeChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	answer := walk(link).Leaving.Query()
	if err := handler.ProcessAuthorizationResponse(t.Context(), answer.Get("code"), answer.Get("state"), verifier); err != nil {
		t.Fatal(err)
	}
}
