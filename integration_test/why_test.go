//go:build integration

package integration_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

var errorReference = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// sent sends a request as a program of a name, and returns the answer.
func sent(t *testing.T, g *harness.Gateway, agent, method, path, contentType, body string, headers ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The command tells who is at fault, from a reference or a name, also after a
// restart, and shows no secret.
func TestWhy(t *testing.T) {
	server := harness.Record(t)
	g := harness.Run(t, harness.Config{Directives: identities + "server notes /mcp " + server.URL, Env: keys})
	env := []string{"CADDY_ADMIN=" + g.AdminAddress()}
	all := ""
	why := func(want string, args ...string) string {
		t.Helper()
		out, said, err := mcpOAuth(g, env, append([]string{"why"}, args...)...)
		all += out + said
		if err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("why %v: %v, want %q in\n%s%s", args, err, want, out, said)
		}
		return out
	}

	refused := errorReference.FindString(sent(t, g, "gemini-cli/0.61.0", "POST", "/api/oauth/per-user/register", "application/json",
		`{"client_name":"Gemini CLI MCP Client","redirect_uris":[]}`))
	text := why("At fault the client", refused)
	for _, part := range []string{"gemini-cli/0.61.0", "registration-without-redirect-uri", refused, "How sure"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}

	client := g.Register(t, "http://127.0.0.1:9/callback")
	page := g.NewBrowser(t).SignIn(t, client.Link(g.URL+"/mcp"), alice)
	code := page.Leaving.Query().Get("code")
	first := client.Redeem(t, page.Leaving, g.URL+"/mcp")
	second := client.Refresh(t, first.RefreshToken)
	third := client.Refresh(t, second.RefreshToken)
	reused := errorReference.FindString(sent(t, g, "Go-http-client/1.1", "POST", "/api/oauth/per-user/token", "application/x-www-form-urlencoded",
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}, "client_id": {client.ID}}.Encode()))
	why("had used before, so its access was ended", reused)
	why("had used before, so its access was ended", "--person", "alice")
	why("had used before, so its access was ended", "--client", "harness", "--server", "notes")

	sent(t, g, "curl/8.5", "POST", "/mcp", "application/json", "{}")
	why("was told to sign in", "--client", "curl")

	out, said, err := mcpOAuth(g, env, "flows")
	all += out + said
	if err != nil || !strings.Contains(out, "gemini-cli") || !strings.Contains(out, "virtual_key:alice") {
		t.Errorf("flows: %v\n%s%s", err, out, said)
	}
	out, said, err = mcpOAuth(g, env, "flows", "--failed", "--json")
	var flows struct{ Flows []struct{ ID, Fault string } }
	if err != nil || json.Unmarshal([]byte(out), &flows) != nil || len(flows.Flows) != 2 || flows.Flows[0].Fault != "refresh-token-reused" {
		t.Errorf("flows that failed: %v\n%s%s", err, out, said)
	}
	for _, args := range [][]string{{"why"}, {"why", "unknown"}, {"why", "--person", "nobody"}} {
		out, said, err := mcpOAuth(g, env, args...)
		if err == nil || said == "" {
			t.Errorf("%v: %v, said %q and printed %q", args, err, said, out)
		}
	}

	g.Stop(t)
	g.Restart(t)
	oauthtest.Eventually(t, "why knows no flow of before the restart", func() bool {
		_, _, err := mcpOAuth(g, env, "why", refused)
		return err == nil
	})
	why("At fault the client", refused)
	why("had used before, so its access was ended", reused)

	stored, err := os.ReadFile(filepath.Join(g.Dir, "mcp_oauth.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"key": aliceKey, "code": code, "state": client.State, "verifier": client.Verifier,
		"access token": third.AccessToken, "refresh token": first.RefreshToken, "last refresh token": third.RefreshToken,
	} {
		if strings.Contains(all, secret) {
			t.Errorf("why shows the %s", name)
		}
	}
	if strings.Contains(string(stored), "gemini-cli/0.61.0") {
		t.Error("the database has a trace that is not encrypted")
	}
	if testing.Verbose() {
		t.Log(all)
	}
}
