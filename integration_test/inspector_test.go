//go:build integration

package integration_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// inspectorFor is the Inspector's command line, without a method.
func inspectorFor(t *testing.T, endpoint string) *exec.Cmd {
	t.Helper()
	inspector := programs.Node(t, "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js",
		"--cli", "--server-url", endpoint, "--transport", "http",
		"--callback-url", fmt.Sprintf("http://%s/oauth/callback", programs.FreeAddr(t)))
	inspector.Env = append(inspector.Env, "MCP_AUTO_OPEN_ENABLED=true", "MCP_INSPECTOR_SECRET_STORE=file")
	return inspector
}

// The Inspector's command line signs in once, keeps its tokens in its home
// directory, and refreshes them in the next run.
func TestInspector(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "server recorder /mcp " + upstream.URL,
		Env:        keys,
	})
	inspector := inspectorFor(t, g.URL+"/mcp")
	again := *inspector

	inspector.Args = append(inspector.Args, "--method", "tools/list")
	client := programs.Start(t, inspector)
	harness.NewBrowser(t).SignInFor(t, client, alice)
	if err := client.Wait(t); err != nil || !strings.Contains(client.String(), `"greet"`) {
		t.Fatalf("tools/list: %v; printed:\n%s", err, client)
	}
	<-time.After(4 * time.Second) // the token lives three, by the gateway's real clock

	again.Args = append(again.Args, "--method", "tools/call", "--tool-name", "greet", "--tool-arg", "name=Ada")
	if printed := programs.RunToEnd(t, &again); !strings.Contains(printed, "Hello, Ada!") {
		t.Errorf("tools/call printed:\n%s", printed)
	}
	g.AwaitRequests(t, http.MethodPost, "/api/oauth/per-user/token", 2)
	if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 1 {
		t.Errorf("the person signed in %d times, want once", n)
	}
}

// It lists the tools that may be used, and says that there is no other.
func TestNarrowedInspector(t *testing.T) {
	notes := harness.ServeNotebook(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server notes /notes " + notes.URL + narrowed, Env: keys})
	inspector := inspectorFor(t, g.URL+"/notes")
	again := *inspector

	inspector.Args = append(inspector.Args, "--method", "tools/list")
	client := programs.Start(t, inspector)
	harness.NewBrowser(t).SignInFor(t, client, alice)
	err := client.Wait(t)
	if printed := client.String(); err != nil || !strings.Contains(printed, `"read_page"`) || !strings.Contains(printed, `"create_page"`) || strings.Contains(printed, "delete_page") {
		t.Fatalf("tools/list: %v; printed:\n%s", err, printed)
	}

	again.Args = append(again.Args, "--method", "tools/call", "--tool-name", "delete_page")
	refused := programs.Start(t, &again)
	_ = refused.Wait(t) // whether that is a failure is up to it
	if printed := refused.String(); !strings.Contains(printed, "Tool 'delete_page' not found") {
		t.Errorf("tools/call printed:\n%s", printed)
	}
}
