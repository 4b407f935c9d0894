package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// A call that needs a scope by an access rule leads to the page with just that, and the
// next token can do both. No spelling of the call, nor of the request, gets around it.
func TestStepUpByRule(t *testing.T) {
	upstream := offer(t, append(threeTools, offeredTool{Name: "Ｃreate_page"}))
	g := newGateway(t, people("alice")+"server notes /mcp "+upstream.URL+"/mcp {\ntools {\nscope notes:write create_* update_*\nscope admin delete_*\n}\n}\nscope notes:write \"Write notes\"\n")
	a := g.app("editor", "")
	p := a.user("alice")
	a.completes(p)
	call := func(tools ...string) string {
		var all []string
		for _, tool := range tools {
			all = append(all, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`"}}`)
		}
		if len(all) == 1 {
			return all[0]
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	send := func(token, body string) *http.Response {
		return a.send("POST", "/mcp", body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	needs := func(body string, scopes ...string) {
		t.Helper()
		upstream.take()
		res := send(a.access, body)
		status(t, res, http.StatusForbidden)
		wantChallenge(t, res, `error="insufficient_scope"`, `scope="`+strings.Join(scopes, " ")+`"`)
		if called := upstream.take(); len(called) != 0 {
			t.Errorf("it was called all the same: %q", called)
		}
	}
	status(t, send(a.access, call("read_page")), http.StatusOK)
	needs(call("create_page"), "mcp:use", "notes:write")
	needs(call("CREATE_page "), "mcp:use", "notes:write")
	needs(call("Ｃreate_page"), "mcp:use", "notes:write")
	needs(call("read_page", "create_page", "delete_page"), "mcp:use", "notes:write", "admin")
	large := strings.Replace(call("create_page"), `"params":{`, `"params":{"x":"`+strings.Repeat("x", mcp.MaxRequest)+`",`, 1)
	needs(large, "mcp:use", "notes:write")
	if listed := listedTools(t, func(body string) (int, string) { return http.StatusOK, status(t, send(a.access, body), http.StatusOK) }); !slices.Contains(listed, "create_page") {
		t.Errorf("what needs a scope is not listed: %q", listed)
	}
	stepUp := func(form url.Values) {
		t.Helper()
		page := a.opens(p, "scope", "mcp:use notes:write")
		if !strings.Contains(page.Body, `name="scope" value="notes:write" checked`) || strings.Contains(page.Body, "admin") || !strings.Contains(page.Body, "Write notes") {
			t.Errorf("the page does not ask for just that: %s", page.Text())
		}
		done := p.browser.Submit(t, page, "/api/oauth/per-user/consent/submit", form)
		if done.Leaving == nil {
			t.Fatalf("status %d: %s", done.Status, done.Text())
		}
		a.redeems(http.StatusOK, done.Leaving.Query().Get("code"))
	}
	stepUp(url.Values{"decision": {"approve"}, "scope": {}})
	needs(call("create_page"), "mcp:use", "notes:write")
	stepUp(url.Values{"decision": {"approve"}})
	for range 2 {
		status(t, send(a.access, call("create_page")), http.StatusOK)
		status(t, send(a.access, large), http.StatusOK)
		status(t, send(a.access, call("read_page")), http.StatusOK)
		needs(call("delete_page"), "mcp:use", "notes:write", "admin")
		a.refreshes(http.StatusOK, a.refreh)
	}
	status(t, send(keyOf("alice"), call("delete_page")), http.StatusOK) // a key has every scope
	if metadata := status(t, a.send("GET", "/.well-known/oauth-authorization-server", ""), http.StatusOK); !strings.Contains(metadata, `"notes:write"`) {
		t.Errorf("the scope is not in the metadata: %s", metadata)
	}
	if !strings.Contains(g.log(), `"reason":"step_up"`) {
		t.Error("the log does not tell of a step-up")
	}
}

// Where the account lacks what its provider calls a scope, its person is asked to connect
// it with that, in the best way that the client understands; what it had it keeps.
func TestStepUpOfAccountByRule(t *testing.T) {
	for name, ask := range map[string]func(*testing.T, *client) string{
		"2026-07-28": func(t *testing.T, c *client) string {
			body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami",` + modernMeta + `}}`
			answer := status(t, c.send(body, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "whoami"), http.StatusOK)
			if !requestState.MatchString(answer) {
				t.Errorf("no input is required: %s", answer)
			}
			return answer
		},
		"2025-11-25": func(t *testing.T, c *client) string {
			res := c.send(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}}}}`)
			status(t, res, http.StatusOK)
			answer := status(t, c.send(toolCall, "Mcp-Protocol-Version", "2025-11-25", "Mcp-Session-Id", res.Header.Get("Mcp-Session-Id")), http.StatusOK)
			if !strings.Contains(answer, "-32042") {
				t.Errorf("no elicitation is required: %s", answer)
			}
			return answer
		},
		"2025-06-18": func(t *testing.T, c *client) string { return status(t, c.send(toolCall), http.StatusOK) },
	} {
		t.Run(name, func(t *testing.T) {
			notion := newService(t)
			g := newGateway(t, people("alice")+strings.Replace(notion.server("scopes read"), "title Notion\n", "title Notion\ntools {\nscope =write,delete whoami\n}\n", 1))
			alice := g.person("alice")
			c := alice.signIn("notion")
			before := len(notion.Accounts())
			if name == "2025-11-25" {
				before++ // the initialize
			}
			answer := ask(t, c)
			if !connectLink.MatchString(answer) || len(notion.Accounts()) != before {
				t.Fatalf("nobody is asked, or the server was called: %s", answer)
			}
			alice.accountPage()
			alice.follow(answer)
			if got := status(t, c.send(toolCall), http.StatusOK); !strings.Contains(got, `"account":"alice"`) {
				t.Errorf("with the scope: %s", got)
			}
			if page := alice.accountPage(); !strings.Contains(page, "<code>read</code>") || !strings.Contains(page, "<code>write</code>") || !strings.Contains(page, "<code>delete</code>") {
				t.Errorf("the account has other scopes: %s", page)
			}
		})
	}
}

func TestMistakesInScopeRules(t *testing.T) {
	for rule, want := range map[string]string{
		"scope write":               "name",
		"scope a,b x":               `"a,b" has a comma`,
		"scope offline_access x":    "offline_access is no scope that a call can need",
		"scope connect:notion x":    "connect:notion is no scope that a call can need",
		"scope write=repo x":        "nobody connects an account for this server by OAuth",
		"scope = x":                 "is not a scope",
		"scope write=repo,,user x ": "is not a scope",
	} {
		err := ours(loadable(t, "mcp.example.com {\nmcp_oauth {\n"+anybody+oneOfOur+" {\ntools {\n"+rule+"\n}\n}\n}\n}\n"))
		if err == "" || !strings.Contains(err, want) || !strings.Contains(err, "Caddyfile:6") {
			t.Errorf("%s: got %q, want %s", rule, err, want)
		}
	}
}
