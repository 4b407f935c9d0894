//go:build integration

package integration_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// mcp-remote is what editors run that speak stdio only: the test is such an
// editor.
func TestMCPRemote(t *testing.T) {
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + shortLived + "server recorder /mcp " + upstream.URL,
		Env:        keys,
	})
	remote := programs.Node(t, "node_modules/mcp-remote/dist/proxy.js", g.URL+"/mcp", "--allow-http", "--transport", "http-only")
	stdin, err := remote.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := remote.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	program := programs.Start(t, remote)

	editor := mcp.NewClient(&mcp.Implementation{Name: "editor", Version: "1"}, nil)
	var session *mcp.ClientSession
	connected := make(chan error, 1)
	go func() {
		var err error
		session, err = editor.Connect(t.Context(), &mcp.IOTransport{Reader: stdout, Writer: stdin}, nil)
		connected <- err
	}()
	harness.NewBrowser(t).SignInFor(t, program, harness.Anonymous)
	if err := <-connected; err != nil {
		t.Fatalf("%v; mcp-remote printed:\n%s", err, program)
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(tools.Tools, func(tool *mcp.Tool) bool { return tool.Name == "greet" }) {
		t.Errorf("tools are %v, want greet among them", tools.Tools)
	}
	<-time.After(4 * time.Second) // the token lives three, by the gateway's real clock
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"name": "Ada"}})
	if err != nil {
		t.Fatalf("%v; mcp-remote printed:\n%s", err, program)
	}
	if text := result.Content[0].(*mcp.TextContent).Text; text != "Hello, Ada!" {
		t.Errorf("greet answers %q", text)
	}
	g.AwaitRequests(t, http.MethodPost, "/api/oauth/per-user/token", 2)
	if n := g.Requests(t, http.MethodGet, "/api/oauth/per-user/authorize"); n != 1 {
		t.Errorf("the person signed in %d times, want once", n)
	}
}
