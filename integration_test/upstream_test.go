package integration_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// What a client sends about itself never reaches the MCP server (E08), what
// the operator configured does, and no hop-by-hop trick or odd spelling
// changes either (E09, E10, E11).
func TestUpstreamSeesOperatorsHeadersOnly_E08_E09_E10_E11(t *testing.T) {
	const credential = "Bearer upstream-credential-0123456789"
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server recorder /mcp " + upstream.URL + ` {
			auth headers {
				Authorization {env.UPSTREAM}
			}
			identity_header X-MCP-User identity
			identity_header X-MCP-Grant-Scope scope
			pass_headers X-Harmless
		}`,
		Env: append([]string{"UPSTREAM=" + credential}, keys...),
	})
	token := g.SignIn(t, alice, "/mcp").AccessToken
	const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`

	// Raw, because an HTTP client would tidy it up.
	send(t, g, "POST /mcp HTTP/1.1",
		"Authorization: Bearer "+token,
		"Connection: close, Authorization, X-MCP-User, X-MCP-Grant-Scope",
		"Content-Type: application/json",
		"Accept: application/json, text/event-stream",
		fmt.Sprintf("Content-Length: %d", len(body)),
		"Cookie: theme=dark-canary",
		"DPoP: dpop-canary",
		"Proxy-Authorization: Basic proxy-canary",
		"X-MCP-User: root-canary",
		"X_MCP_User: root-canary",
		"X-MCP_Grant.Scope: root-canary",
		"X.MCP.User: root-canary",
		"Mcp-Protocol-Version: 2025-11-25",
		"X-Harmless: passes",
		"X-Auth-User: believed-canary",
		"", body)

	received := upstream.Received()
	if len(received) != 1 {
		t.Fatalf("the upstream received %d requests, want 1", len(received))
	}
	header := received[0].Header
	for name, want := range map[string]string{
		"Authorization":        credential,
		"X-Mcp-User":           "virtual_key:alice",
		"X-Mcp-Grant-Scope":    "mcp:use",
		"Mcp-Protocol-Version": "2025-11-25",
		"X-Harmless":           "passes",
	} {
		if got := header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q at the upstream, want %q", name, got, want)
		}
	}
	for name, values := range header {
		if text := strings.Join(values, " "); strings.Contains(text, "canary") || strings.Contains(text, token) {
			t.Errorf("the client's %s reaches the upstream: %q", name, text)
		}
	}
	g.MustNotKeep(t, map[string]string{"access token": token, "upstream credential": credential, "alice's key": aliceKey})
}

// send writes a request line by line and returns the response.
func send(t *testing.T, g *harness.Gateway, lines ...string) *http.Response {
	t.Helper()
	addr := strings.TrimPrefix(g.URL, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines = slices.Insert(lines, 1, "Host: "+addr)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s (%v)", resp.Status, answer, err)
	}
	return resp
}
