//go:build integration

package integration_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Not every client asks for the scope that a 403 names. The TypeScript SDK of
// the first generation refreshes its tokens instead; the second one asks. Each
// ends at the authorization page a second time, where its person connects.
func TestConnectAtRunTimeTypeScript(t *testing.T) {
	w := runOwn(t, time.Minute, "")
	for _, sdk := range []string{"v1", "v2"} {
		t.Run(sdk, func(t *testing.T) {
			who := residents(t)[0]
			asked := programs.Start(t, programs.Node(t, "asked-again.mjs", sdk, w.URL+"/issues", "whoami"))
			who.browser.Deliver(t, who.browser.SignIn(t, asked.Expect(t, `Visit 1: (\S+) `)[1], who.Person))
			who.browser.Deliver(t, who.approve(t, asked.Expect(t, `Visit 2: (\S+) `)[1], "Issues"))
			if err := asked.Wait(t); err != nil {
				t.Fatalf("%v; printed:\n%s", err, asked)
			}
			printed := strings.TrimSpace(asked.String())
			var got harness.WhoAmI
			if err := json.Unmarshal([]byte(printed[strings.LastIndexByte(printed, '\n')+1:]), &got); err != nil || got.Account != who.account {
				t.Errorf("called as %q, %v; printed:\n%s", got.Account, err, printed)
			}
			who.disconnect(t, w.URL)
		})
	}
}

// mcp-go knows nothing about a 403. Its next call but a moment later, here with
// a token that it refreshed, leads to the authorization page.
func TestConnectAtRunTimeMCPGo(t *testing.T) {
	w := runOwn(t, time.Minute, shortLived)
	who := residents(t)[1]
	c, store, initialize := startMCPGo(t, w.URL+"/issues")
	_, err := c.Initialize(t.Context(), initialize)
	signInMCPGo(t, client.GetOAuthHandler(err), func(link string) *oauthtest.Page {
		return who.browser.SignIn(t, link, who.Person) // without connecting anything
	})
	if _, err = c.Initialize(t.Context(), initialize); err == nil || client.IsOAuthAuthorizationRequiredError(err) {
		t.Fatalf("without a connection: %v", err)
	}
	token, err := store.GetToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(token.ExpiresAt) + 100*time.Millisecond) // the gateway has a real clock

	_, err = c.Initialize(t.Context(), initialize)
	if !client.IsOAuthAuthorizationRequiredError(err) {
		t.Fatalf("with a refreshed token: %v, want that authorization is required", err)
	}
	signInMCPGo(t, client.GetOAuthHandler(err), func(link string) *oauthtest.Page { return who.approve(t, link, "Issues") })
	if _, err := c.Initialize(t.Context(), initialize); err != nil {
		t.Fatal(err)
	}
	call := mcp.CallToolRequest{}
	call.Params.Name = "whoami"
	result, err := c.CallTool(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if text := result.Content[0].(mcp.TextContent).Text; !strings.Contains(text, `"account":"`+who.account+`"`) {
		t.Errorf("called as %s", text)
	}
}
