//go:build integration && linux

package cluster

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// Each request of a whole sign-in goes to another instance: those of the client
// (the official Go SDK) and those of the browser. The MCP session began at one
// and is used at all.
func testJourney(t *testing.T, c *cluster) {
	before := c.balancer.counts()
	p := c.person(t, 3)
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Go client", RedirectURIs: []string{redirectURI}, GrantTypes: []string{"authorization_code", "refresh_token"},
		}},
		RequestRefreshToken: true,
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			answer := p.browser.SignIn(t, args.URL, harness.Person{VirtualKey: p.key}).Leaving.Query()
			return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "cluster", Version: "1"}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: c.URL + "/mcp", OAuthHandler: handler}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for range 2 * len(c.instances) {
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "Ada"}})
		if err != nil {
			t.Fatal(err)
		}
		if text := result.Content[0].(*mcp.TextContent).Text; text != "Hello, Ada!" {
			t.Errorf("greet answers %q", text)
		}
	}
	passed := c.balancer.counts()
	for n := range passed {
		if passed[n] -= before[n]; passed[n] < 5 {
			t.Errorf("%s got %d of the requests", c.instances[n].name, passed[n])
		}
	}
	t.Logf("the Go SDK signed in, began a session and called through instances in turn, which got %v requests", passed)
}

// A person connects an account and a client asks for more at run time: the steps
// of the TypeScript SDK, the pages, the way to the provider and back, each at
// another instance. What was connected counts at all.
func testStepUp(t *testing.T, c *cluster) {
	p := c.person(t, 4)
	before := c.balancer.counts()
	asked := programs.Start(t, programs.Node(t, "asked-again.mjs", "v2", c.URL+"/issues", "whoami"))
	who := harness.Person{VirtualKey: p.key}
	p.browser.Deliver(t, p.browser.SignIn(t, asked.Expect(t, `Visit 1: (\S+) `)[1], who))
	services := p.browser.Identify(t, p.browser.Open(t, asked.Expect(t, `Visit 2: (\S+) `)[1]), who)
	services = p.browser.ConnectAs(t, services, "Issues", harness.Ada)
	services.MustShow(t, "Connected")
	p.browser.Deliver(t, p.browser.Press(t, services, harness.ApproveButton, nil))
	if err := asked.Wait(t); err != nil {
		t.Fatalf("%v; printed:\n%s", err, asked)
	}
	printed := strings.TrimSpace(asked.String())
	var got harness.WhoAmI
	if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), &got); err != nil || got.Account != harness.Ada {
		t.Errorf("called as %q, %v; printed:\n%s", got.Account, err, printed)
	}
	passed := c.balancer.counts()
	for n := range passed {
		passed[n] -= before[n]
	}
	if slices.Min(passed) < 5 {
		t.Errorf("instances got %v requests", passed)
	}
	t.Logf("the TypeScript SDK was asked to connect at run time, and did, through instances that got %v requests", passed)
}

// An MCP session that began at one instance is that grant's at all, and no
// other's.
func testSession(t *testing.T, c *cluster) {
	p := c.person(t, 5).at(c.instances[0])
	f, other := p.signIn(t, "/mcp"), p.signIn(t, "/mcp")
	session := p.initialize(t, f)
	for _, i := range c.instances {
		own := *p
		own.client = i.HTTP
		for _, test := range []struct {
			f    *family
			want int
		}{{f, http.StatusOK}, {other, http.StatusNotFound}} {
			resp := own.mcp(t, t.Context(), test.f, http.MethodPost, session, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
			_ = resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("at %s: %s, want %d", i.name, resp.Status, test.want)
			}
		}
	}
}
