//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// The Inspector's command line signs in once, keeps its tokens in its home
// directory, and refreshes them in the next run.
func TestInspector(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "server recorder /mcp " + upstream.URL,
		Env:        keys,
	})
	inspector := harness.Node(t, "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js",
		"--cli", "--server-url", g.URL+"/mcp", "--transport", "http",
		"--callback-url", fmt.Sprintf("http://%s/oauth/callback", harness.FreeAddr(t)))
	inspector.Env = append(inspector.Env, "MCP_AUTO_OPEN_ENABLED=true", "MCP_INSPECTOR_SECRET_STORE=file")
	again := *inspector

	inspector.Args = append(inspector.Args, "--method", "tools/list")
	client := harness.Start(t, inspector)
	harness.NewBrowser(t).SignInFor(t, client, alice)
	if err := client.Wait(t); err != nil || !strings.Contains(client.String(), `"greet"`) {
		t.Fatalf("tools/list: %v; printed:\n%s", err, client)
	}
	<-time.After(4 * time.Second) // the token lives three, by the gateway's real clock

	again.Args = append(again.Args, "--method", "tools/call", "--tool-name", "greet", "--tool-arg", "name=Ada")
	if printed := harness.RunToEnd(t, &again); !strings.Contains(printed, "Hello, Ada!") {
		t.Errorf("tools/call printed:\n%s", printed)
	}
	g.AwaitRequests(t, http.MethodPost, "/api/oauth/per-user/token", 2)
	if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 1 {
		t.Errorf("the person signed in %d times, want once", n)
	}
}
