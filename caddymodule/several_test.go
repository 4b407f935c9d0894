package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/adminapi"
)

// add connects one more account on the account page, as who is signed in at the
// provider.
func (p *person) add(name, account string) string {
	p.g.t.Helper()
	p.account = account
	return p.post("/oauth/account/connect", p.accountPage(), "server", "notion", "account", name)
}

// signsInAt has a person sign in with a client that wants to use a path, in a browser
// that knows nobody, and connect what is asked of them there.
func (g *instance) signsInAt(p *person, path string, connects ...string) string {
	g.t.Helper()
	fresh := g.person(p.name)
	fresh.account = p.account
	g.browser, g.identity, g.typed, g.connects = fresh.browser, "vk", url.Values{"vk": {keyOf(p.name)}}, connects
	return accessToken(g.t, g.signIn("App", g.url+path))
}

// calledAs returns whose account a call at a path used, with a bearer token.
func (g *instance) calledAs(path, token string, headers ...string) string {
	g.t.Helper()
	res := g.call("POST", path, toolCall, append([]string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}, headers...)...)
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode)
	}
	_, account, _ := strings.Cut(status(g.t, res, http.StatusOK), `"account":"`)
	account, _, _ = strings.Cut(account, `"`)
	return account
}

// A person has two accounts at one server at the same time: each at its path, with
// its own token, and no token, nor session, is good for the other.
func TestSeveralAccounts(t *testing.T) {
	notion := newService(t)
	lines := people("alice", "bob") + notion.server("accounts several", "max_accounts 3")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	alice, bob := g.person("alice"), g.person("bob")
	alice.add("Work ", "alice-work") // as people type it
	alice.add("home", "alice-home")
	bob.add("work", "bob-work")
	tokens := map[string]string{}
	for path, connects := range map[string][]string{"/mcp": {"notion"}, "/mcp/work": nil, "/mcp/home": nil} {
		for name, key := range map[string]string{"alice": keyOf("alice"), "bob": keyOf("bob")} {
			want := map[string]string{"alice/mcp/work": "alice-work", "alice/mcp/home": "alice-home", "bob/mcp/work": "bob-work"}[name+path]
			if got := g.calledAs(path, key); want != "" && got != want {
				t.Errorf("%s at %s called as %s, want %s", name, path, got, want)
			} else if want == "" && strings.Contains(got, "-") {
				t.Errorf("%s at %s called as %s, and has connected nothing there", name, path, got)
			}
		}
		alice.account = "alice-plain"
		tokens[path] = g.signsInAt(alice, path, connects...)
	}
	want := map[string]string{"/mcp": "alice-plain", "/mcp/work": "alice-work", "/mcp/home": "alice-home"}
	for of, token := range tokens {
		for path, account := range want {
			if of != path {
				account = "401"
			}
			if got := g.calledAs(path, token); got != account {
				t.Errorf("the token of %s at %s: %s, want %s", of, path, got, account)
			}
		}
	}

	var resource struct{ Resource string }
	document := status(t, g.call("GET", "/.well-known/oauth-protected-resource/mcp/work", ""), http.StatusOK)
	if err := json.Unmarshal([]byte(document), &resource); err != nil || resource.Resource != g.url+"/mcp/work" {
		t.Errorf("metadata %s, %v", document, err)
	}
	// Nobody learns who has which: a name that nobody has answers the same.
	nobodys := status(t, g.call("GET", "/.well-known/oauth-protected-resource/mcp/nobodys", ""), http.StatusOK)
	if strings.ReplaceAll(nobodys, "nobodys", "work") != document {
		t.Errorf("metadata of a name that nobody has: %s, want that of one: %s", nobodys, document)
	}
	for _, path := range []string{"/mcp/work", "/mcp/nobodys"} {
		res := g.call("POST", path, toolCall, "Authorization", "")
		if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || !strings.Contains(got, "/.well-known/oauth-protected-resource"+path+`"`) {
			t.Errorf("%s: %d %s", path, res.StatusCode, got)
		}
	}
	for _, path := range []string{"/mcp/Work", "/mcp/-", "/mcp/a/b", "/mcp/" + strings.Repeat("a", 33), "/mcp/w%C3%B6rk", "/mcp/..%2fwork", "/mcp//work", "/.well-known/oauth-protected-resource/mcp/Work"} {
		if res := g.call("GET", path, "", "Authorization", "Bearer "+keyOf("alice")); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, res.StatusCode)
		}
	}

	// A session of one account is none of another's.
	res := g.call("POST", "/mcp/work", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`, "Authorization", "Bearer "+keyOf("alice"), "Content-Type", "application/json")
	session := res.Header.Get("Mcp-Session-Id")
	status(t, res, http.StatusOK)
	if session != "" {
		if got := g.calledAs("/mcp/home", keyOf("alice"), "Mcp-Session-Id", session); got != "404" {
			t.Errorf("the session of work at home: %s, want 404", got)
		}
	}

	// The third is there, so a fourth is refused, and so are names that are none.
	if page := alice.add("more", "alice-more"); !strings.Contains(page, "as many accounts") {
		t.Errorf("a fourth account: %s", page)
	}
	if page := bob.add("work", "bob-other"); !strings.Contains(page, "account of this name already") {
		t.Errorf("the same name again: %s", page)
	}
	for _, name := range []string{"", "a/b", "..", "\u202ework", "wörk", "-a", "a_b", strings.Repeat("a", 33), "<b>"} {
		if page := bob.add(name, "bob-other"); !strings.Contains(page, "cannot have this name") {
			t.Errorf("the name %q: %s", name, page)
		}
	}

	// Renaming changes what people read, and nothing else.
	alice.post("/oauth/account/rename", alice.accountPage(), "server", "notion/work", "label", "My <b>office</b>")
	if page := alice.accountPage(); !strings.Contains(page, "Notion (\u2068My &lt;b&gt;office&lt;/b&gt;\u2069)") {
		t.Errorf("renamed: %s", page)
	}
	if got := g.calledAs("/mcp/work", tokens["/mcp/work"]); got != "alice-work" {
		t.Errorf("after the renaming: %s", got)
	}

	var all struct{ Connections []adminapi.Connection }
	if err := json.Unmarshal([]byte(admin(t, addr, "GET", "/mcp_oauth/connections?subject="+url.QueryEscape("virtual_key:alice")+"&server=notion", 200)), &all); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range all.Connections {
		names[c.AccountName] = c.Server == "notion"
	}
	if len(all.Connections) != 3 || !names[""] || !names["work"] || !names["home"] {
		t.Errorf("the admin API has %+v", all.Connections)
	}
	if g.logged(`"account_name":"work"`) == 0 {
		t.Error("no line of the log names the account")
	}

	alice.disconnect("notion/work")
	if got := g.calledAs("/mcp/work", keyOf("alice")); got == "alice-work" {
		t.Error("a removed account is still used")
	}
	if got := g.calledAs("/mcp/home", tokens["/mcp/home"]); got != "alice-home" {
		t.Errorf("the other account after one was removed: %s", got)
	}
	if got := g.calledAs("/mcp/work", keyOf("bob")); got != "bob-work" {
		t.Errorf("another person's account of the same name: %s", got)
	}
}
