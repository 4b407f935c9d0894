package caddymodule

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Whose account is connected is for the person and the operator to see, and in
// no log line.
func TestAccountName(t *testing.T) {
	notion := newService(t)
	notion.provider.Page("/me", oauthtest.Document(oauthtest.Object{"login": "jane@acme.example"}))
	lines := people("alice") + notion.server("optional\naccount_name login\naccount_url "+notion.provider.URL+"/me")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	alice := g.person("alice")
	alice.connect("notion")
	if page := g.page(alice.visit(g.url + "/oauth/account")); !strings.Contains(page, "Connected as \u2068jane@acme.example\u2069<") {
		t.Errorf("page:\n%s", page)
	}
	var all struct{ Connections []adminapi.Connection }
	if err := json.Unmarshal([]byte(admin(t, addr, "GET", "/mcp_oauth/connections", 200)), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Connections) != 1 || all.Connections[0].Account != "jane@acme.example" {
		t.Errorf("got %+v", all.Connections)
	}
	if logs := g.log(); strings.Contains(logs, "jane@acme") {
		t.Error("the log names the account")
	}
}
