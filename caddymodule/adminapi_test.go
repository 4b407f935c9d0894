package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// admin sends a request to Caddy's admin endpoint.
func admin(t *testing.T, addr, method, path string, want int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := once.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer := status(t, res, want)
	checkAnswer(t, method, path, res.StatusCode, answer)
	return answer
}

// withAdmin loads the lines with the admin endpoint on, and returns its address.
func (g *instance) withAdmin(lines string) string {
	addr := freeAddr(g.t)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1))
	return addr
}

// An operator sees each connection, ends one, and sees nothing of use to a thief.
func TestAdminConnections(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + notion.server("optional")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	if got := admin(t, addr, "GET", "/mcp_oauth/connections", 200); strings.TrimSpace(got) != `{"connections":[]}` {
		t.Errorf("nothing connected: %s", got)
	}
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	text := admin(t, addr, "GET", "/mcp_oauth/connections", 200)
	var all struct{ Connections []adminapi.Connection }
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all.Connections) != 2 {
		t.Fatalf("got %v, error %v; want two connections", text, err)
	}
	for _, secret := range []string{"at-", "rt-", "gateway"} {
		if strings.Contains(text, `"`+secret) {
			t.Errorf("shows %s: %s", secret, text)
		}
	}
	ids := map[string]string{}
	for _, c := range all.Connections {
		ids[c.Owner] = c.ID
		if c.Status != "authorized" || c.Site != g.url || c.Server != "notion" || c.TokenID == "" || c.TokenExpiresAt.IsZero() || fmt.Sprint(c.Scopes) != "[read]" || c.Mode != "per_user_oauth" {
			t.Errorf("%+v", c)
		}
	}
	path := "/mcp_oauth/connections/" + ids["virtual_key:alice"]
	if got := admin(t, addr, "GET", path+"/status", 200); !strings.Contains(got, `"owner":"virtual_key:alice"`) {
		t.Errorf("status %s", got)
	}
	if got := admin(t, addr, "DELETE", path, 200); !strings.Contains(got, `"status":"revoked"`) {
		t.Errorf("ended: %s", got)
	}
	if got := admin(t, addr, "GET", path+"/status", 200); !strings.Contains(got, `"status":"revoked"`) || !strings.Contains(got, ids["virtual_key:alice"]) {
		t.Errorf("ended: %s", got)
	}
	admin(t, addr, "DELETE", path, 404)
	alias := "/api/oauth/config/" + ids["virtual_key:alice"]
	if got := admin(t, addr, "GET", alias+"/status", 200); !strings.Contains(got, `"status":"revoked"`) {
		t.Errorf("under another name: %s", got)
	}
	admin(t, addr, "DELETE", alias, 404)
	admin(t, addr, "GET", alias, 405)
	admin(t, addr, "POST", "/api/oauth/config/notion/start", 404)
	admin(t, addr, "GET", "/mcp_oauth/connections/unknown/status", 404)
	if got := admin(t, addr, "GET", "/mcp_oauth/connections", 200); strings.Contains(got, "revoked") {
		t.Errorf("listed: %s", got)
	}
	if got := status(t, alice.call(toolCall), 200); !connectLink.MatchString(got) {
		t.Errorf("still works: %s", got)
	}
	bob.wantAccount("bob")
	notion.refuse()
	status(t, bob.call(toolCall), 200)
	if got := admin(t, addr, "GET", "/mcp_oauth/connections/"+ids["virtual_key:bob"]+"/status", 200); !strings.Contains(got, `"status":"needs_reauth"`) {
		t.Errorf("status %s", got)
	}
	admin(t, addr, "POST", "/mcp_oauth/connections/notion/start", 409) // nobody's to share
	admin(t, addr, "GET", "/mcp_oauth/connections/x/y", 404)
	admin(t, addr, "PUT", "/mcp_oauth/connections", 405)
	status(t, g.call("GET", "/mcp_oauth/connections", ""), 200) // the next handler's: nothing of this is on the site
	// The API of a configuration that never served shows the one that does.
	if err := loadCaddyfile(strings.Replace(g.caddyfile("identity anonymous\nserver a /mcp {env.NONE}"), "admin off", "admin "+addr, 1)); err == nil || !strings.Contains(err.Error(), "server a: {env.NONE}: the environment variable is not set") {
		t.Fatalf("a configuration without upstream: %v", err)
	}
	if got := admin(t, addr, "GET", "/mcp_oauth/connections", 200); !strings.Contains(got, ids["virtual_key:bob"]) {
		t.Errorf("after a failed reload: %s", got)
	}
}

// A shared connection is started by an operator, and then everybody's.
func TestSharedConnection(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + strings.Replace(notion.server(), "per_user_oauth", "oauth", 1)
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	alice, bob := g.person("alice"), g.person("bob")
	res := alice.call(toolCall)
	if body := status(t, res, http.StatusServiceUnavailable); strings.Contains(body, "/oauth/connect/") || res.Header.Get("Retry-After") == "" {
		t.Errorf("not connected: %s", body)
	}
	admin(t, addr, "GET", "/mcp_oauth/connections/notion/status", 404)
	admin(t, addr, "DELETE", "/mcp_oauth/connections/notion", 404) // nothing to end
	started := admin(t, addr, "POST", "/mcp_oauth/connections/notion/start", 200)
	var answer struct {
		AuthorizeURL string `json:"authorize_url"`
		Status       string
	}
	if err := json.Unmarshal([]byte(started), &answer); err != nil || answer.Status != "pending" {
		t.Fatalf("got %v, error %v; want one that is pending", started, err)
	}
	wantStatus := func(want string) {
		t.Helper()
		if got := admin(t, addr, "GET", "/mcp_oauth/connections/notion/status", 200); !strings.Contains(got, `"status":"`+want+`"`) || !strings.Contains(got, `"owner":"shared:"`) {
			t.Errorf("status %s, want %s", got, want)
		}
	}
	wantStatus("pending")
	if got := admin(t, addr, "DELETE", "/mcp_oauth/connections/notion", 200); !strings.Contains(got, `"status":"revoked"`) {
		t.Errorf("what was started ended: %s", got)
	}
	wantStatus("revoked")
	// Neither does the link that was handed out connect anything any more.
	if late := g.person("somebody").visit(answer.AuthorizeURL); late.Status != http.StatusGone {
		t.Errorf("status %d, want 410: %s", late.Status, late.Body)
	}
	admin(t, addr, "DELETE", "/mcp_oauth/connections/notion", 404)
	started = admin(t, addr, "POST", "/mcp_oauth/connections/notion/start", 200)
	if err := json.Unmarshal([]byte(started), &answer); err != nil {
		t.Fatal(err)
	}
	wantStatus("pending")
	operator := g.person("operator")
	operator.account = "company"
	notion.provider.Change(func() { notion.provider.Declines = true })
	operator.open(answer.AuthorizeURL)
	wantStatus("failed")
	notion.provider.Change(func() { notion.provider.Declines = false })
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1))
	wantStatus("failed") // a reload forgets nothing
	started = admin(t, addr, "POST", "/mcp_oauth/connections/notion/start", 200)
	if err := json.Unmarshal([]byte(started), &answer); err != nil {
		t.Fatal(err)
	}
	wantStatus("pending")
	operator.follow(answer.AuthorizeURL)
	alice.wantAccount("company")
	bob.wantAccount("company")
	wantStatus("authorized")
	if got := admin(t, addr, "DELETE", "/mcp_oauth/connections/notion", 200); !strings.Contains(got, `"revoked"`) {
		t.Errorf("ended: %s", got)
	}
	wantStatus("revoked")
	status(t, bob.call(toolCall), http.StatusServiceUnavailable)
}
