// Command conformanceclient lets the official conformance suite judge the
// gateway as the OAuth client that it is towards MCP servers. The suite runs it
// with the URL of a server; it starts a gateway in front of that server, signs
// a person in, connects them, lists the tools and calls one.
//
// Scenarios without OAuth judge an MCP client. For them it runs that of the Go
// SDK behind a gateway.
//
//	CADDY=… EVERYTHING_CLIENT=… conformanceclient URL
package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/trial"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: conformanceclient URL")
		os.Exit(2)
	}
	os.Exit(trial.Standalone(func(t testing.TB) {
		if strings.HasPrefix(os.Getenv("MCP_CONFORMANCE_SCENARIO"), "auth/") {
			connectAndCall(t, os.Args[1])
			return
		}
		runEverythingClient(t, os.Args[1])
	}))
}

// runEverythingClient runs the Go SDK's client behind a gateway, whose token a
// proxy adds.
func runEverythingClient(t testing.TB, server string) {
	g := harness.Run(t, harness.Config{Directives: "identity anonymous\nserver judge /mcp " + server})
	token := g.SignIn(t, harness.Anonymous, "/mcp").AccessToken
	gateway, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(gateway)
			r.Out.Header.Set("Authorization", "Bearer "+token)
		},
	})
	t.Cleanup(proxy.Close)
	t.Cleanup(proxy.CloseClientConnections)
	client := programs.Start(t, exec.Command(os.Getenv("EVERYTHING_CLIENT"), proxy.URL+"/mcp"))
	if err := client.Wait(t); err != nil {
		t.Fatalf("%v: %s", err, client)
	}
}

// oauthServer configures the server, with the client that the suite registered
// if it did.
func oauthServer(t testing.TB, server string) string {
	var context struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &context); err != nil {
			t.Fatal(err)
		}
	}
	lines := []string{"server judge /mcp " + server + " {", "\tauth per_user_oauth {"}
	if context.ClientID != "" {
		lines = append(lines, "\t\tclient_id "+context.ClientID)
	}
	if context.ClientSecret != "" {
		lines = append(lines, "\t\tclient_secret "+context.ClientSecret)
	}
	return strings.Join(append(lines, "\t}", "}"), "\n")
}
