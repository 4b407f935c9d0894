//go:build unix

package integration_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/programs"
)

// A newcomer runs the one command of the README in a fresh checkout, adds the
// URL it prints to an MCP client, signs in and calls a tool. The access log of
// the example configuration keeps none of the secrets that passed (A16).
func TestFirstRun_A16(t *testing.T) {
	home := t.TempDir()
	run := exec.Command("go", "run", "./cmd/caddy", "run", "--config", "Caddyfile.example")
	run.Dir = ".."
	run.Env = append(os.Environ(), "XDG_DATA_HOME="+home+"/data", "XDG_CONFIG_HOME="+home+"/config")
	// Ctrl-C goes to the whole group, and go run leaves it to its child.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	gateway := programs.Start(t, run)
	defer syscall.Kill(-run.Process.Pid, syscall.SIGINT)
	endpoint := gateway.Expect(t, `claude mcp add --transport http example (http://localhost:8080/mcp)\b`)[1]
	gateway.Expect(t, "serving initial configuration")

	var link, code, state string
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName:   "Newcomer's client",
				RedirectURIs: []string{"http://localhost:33333/callback"},
			},
		},
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			link = args.URL
			answer := harness.NewBrowser(t).SignIn(t, args.URL, harness.Anonymous).Leaving.Query()
			code, state = answer.Get("code"), answer.Get("state")
			return &auth.AuthorizationResult{Code: code, State: state, Iss: answer.Get("iss")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "newcomer", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: endpoint, OAuthHandler: handler}, nil)
	if err != nil {
		t.Fatalf("%v; printed last:\n%s", err, gateway.Tail())
	}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) == 0 {
		t.Fatalf("tools: %v, %v", tools, err)
	}
	source, err := handler.TokenSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	if link == "" || code == "" || state == "" {
		t.Fatalf("signed in without a page: %q, %q, %q", link, code, state)
	}

	if err := syscall.Kill(-run.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = gateway.Wait(t) // go run fails when interrupted, whatever its child did
	if !strings.Contains(gateway.String(), `"exit_code":0`) {
		t.Errorf("the gateway did not end well; printed last:\n%s", gateway.Tail())
	}
	if !strings.Contains(gateway.String(), "handled request") {
		t.Errorf("the example writes no access log:\n%s", gateway.Tail())
	}
	harness.MustNotKeep(t, home, gateway.String(), map[string]string{
		"code": code, "state": state, "access token": token.AccessToken, "refresh token": token.RefreshToken,
	})
}
