package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A stock client that knows only the URL finds the authorization server,
// registers, signs in and calls a tool, of a server with sessions and of one
// without.
func TestStockClientSignsInAndCallsATool(t *testing.T) {
	for name, stateless := range map[string]bool{"with sessions": false, "stateless": true} {
		t.Run(name, func(t *testing.T) {
			server := mcp.NewServer(&mcp.Implementation{Name: "upstream", Version: "1"}, nil)
			mcp.AddTool(server, &mcp.Tool{Name: "whoami"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: r.Extra.Header.Get("X-Mcp-Identity")}}}, nil, nil
			})
			up := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
				&mcp.StreamableHTTPOptions{Stateless: stateless}))
			t.Cleanup(up.CloseClientConnections)
			g := newGateway(t, alice+"server a /mcp "+up.URL+" {\nidentity_header X-MCP-Identity identity\n}")

			handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
				DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
					Metadata: &oauthex.ClientRegistrationMetadata{ClientName: "stock", RedirectURIs: []string{"http://127.0.0.1:7777/cb"}},
				},
				AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
					answer := g.approve(args.URL).Query()
					return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			session, err := mcp.NewClient(&mcp.Implementation{Name: "stock", Version: "1"}, nil).Connect(t.Context(),
				&mcp.StreamableClientTransport{Endpoint: g.url + "/mcp", OAuthHandler: handler}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "whoami"})
			if err != nil || len(result.Content) == 0 {
				t.Fatalf("got %v, error %v; want content", result, err)
			}
			if got := result.Content[0].(*mcp.TextContent).Text; len(got) < len("anonymous:x") || got[:10] != "anonymous:" {
				t.Errorf("the server knows the caller as %q", got)
			}
		})
	}
}

// withPassword is a browser in which bob has typed his password.
type withPassword struct{ base http.RoundTripper }

func (p withPassword) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth("bob", "example")
	return p.base.RoundTrip(r)
}

// The user whom another handler authenticated can sign in; on a call, the
// token says who calls, whoever that handler lets in.
func TestUserOfAnotherHandler(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	passwords := func(matcher string) string {
		return "bind 127.0.0.1\n@guarded path " + matcher + "\nbasic_auth @guarded {\n" +
			"bob $2a$04$Tu/ANF4usYUBp//lpr5Wlup3WzGxDw.sIIkO/C/6JBC0sIfsljWyC\n}"
	}
	text := g.caddyfile("identity caddy\nvirtual_key alice {env.ALICE}\nserver a /mcp " + up.URL + " {\nidentity_header X-Id identity\nproxy {\nheader_up X-User {http.auth.user.id}\n}\n}")
	t.Setenv("ALICE", aliceKey)
	g.load(strings.Replace(text, "bind 127.0.0.1", passwords("/oauth/consent* /oauth/account* /oauth/connect* /api/oauth/per-user/consent/* /api/oauth/per-user/upstream/*"), 1))
	g.identity, g.browse = "elsewhere", withPassword{once}
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
	if h := up.Last(t).Header; h.Get("X-Id") != "caddy:bob" || h.Get("X-User") != "caddy:bob" {
		t.Errorf("the upstream knows the caller as %q, %q", h.Get("X-Id"), h.Get("X-User"))
	}
	g.load(strings.Replace(text, "bind 127.0.0.1", "bind 127.0.0.1\nvars http.auth.user.id mallory", 1))
	status(t, g.call("POST", "/mcp", initialize), http.StatusOK)
	if h := up.Last(t).Header; h.Get("X-User") != "virtual_key:alice" {
		t.Errorf("the upstream knows the caller as %q", h.Get("X-User"))
	}
	// E07, E23: nothing but that handler says who the user is.
	g.load(strings.Replace(text, "bind 127.0.0.1", passwords("/oauth/consent* /oauth/account* /oauth/connect* /api/oauth/per-user/consent/* /api/oauth/per-user/upstream/*"), 1))
	res := g.call("GET", "/oauth/consent", "", "Authorization", "", "X-Forwarded-User", "bob", "Remote-User", "bob")
	status(t, res, http.StatusUnauthorized)
}
