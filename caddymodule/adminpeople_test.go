package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// D09: an operator ends all that a person has, in one go, and nothing of others.
func TestOperatorEndsAPerson_D09(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + notion.server("optional")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	tokens := map[string]string{}
	persons := map[string]*person{}
	for _, who := range []string{"alice", "bob"} {
		persons[who] = g.person(who)
		persons[who].connect("notion")
		g.browser, g.identity, g.typed = nil, "vk", url.Values{"vk": {keyOf(who)}}
		tokens[who] = accessToken(t, g.signIn("client", g.url+"/mcp"))
	}
	end := func(query string, want int) adminapi.EndedPerson {
		t.Helper()
		var ended adminapi.EndedPerson
		text := admin(t, addr, "DELETE", "/mcp_oauth/people"+query, want)
		if err := json.Unmarshal([]byte(text), &ended); want == http.StatusOK && err != nil {
			t.Fatalf("got %v, error %v; want JSON", text, err)
		}
		return ended
	}
	for query, want := range map[string]int{"": 400, "?subject=": 400, "?subject=virtual_key:alice&connections=perhaps": 400} {
		end(query, want)
	}
	admin(t, addr, "GET", "/mcp_oauth/people?subject=virtual_key:alice", 400)
	if got := end("?subject=virtual_key:alice", 200); len(got.Grants) != 1 || len(got.Connections) != 0 || got.Subject != "virtual_key:alice" {
		t.Errorf("ended %+v, want one grant and no connection", got)
	}
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens["alice"]), http.StatusUnauthorized)
	if page := g.page(persons["alice"].visit(g.url + "/oauth/account")); strings.Contains(page, "Sign out everywhere<") {
		t.Error("alice's browser is still signed in")
	}
	if got := end("?subject=virtual_key:alice&connections=true", 200); len(got.Grants) != 0 || len(got.Connections) != 1 {
		t.Errorf("ended %+v, want one connection", got)
	}
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+tokens["bob"]), http.StatusOK)
	if page := persons["bob"].accountPage(); !strings.Contains(page, "Sign out everywhere<") || !strings.Contains(page, "Disconnect<") {
		t.Error("bob lost something")
	}
	if got, want := g.log(), `"event":"person.ended"`; !strings.Contains(got, want) {
		t.Errorf("the log has no %q:\n%s", want, got)
	}
	if err := stateOf(t, g).store.Close(); err != nil {
		t.Fatal(err)
	}
	end("?subject=virtual_key:bob", 503)
}
