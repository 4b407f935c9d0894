package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// accounted is an MCP server that lists other tools to each account, or each client.
type accounted struct {
	*oauthtest.Host
	mu     sync.Mutex
	reads  map[string]bool // by key or client, whether it says of purge that it only reads
	called []string
}

func newAccounted(t *testing.T) *accounted {
	s := &accounted{reads: map[string]bool{}}
	s.Host = oauthtest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		key := r.Header.Get("X-Key") + r.Header.Get("X-Client")
		var m struct{ Method string }
		_ = json.NewDecoder(r.Body).Decode(&m)
		w.Header().Set("Content-Type", "application/json")
		if m.Method == "tools/call" {
			s.called = append(s.called, key)
		}
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"purge","annotations":{"readOnlyHint":%t},"inputSchema":{}}]}}`, s.reads[key])
	})
	return s
}

func (s *accounted) lines(more string) string {
	return people("alice", "bob") + "insecure_allow_loopback\nserver notion /mcp " + s.URL + "/mcp {\nauth per_user_headers {\nheader X-Key\n}\n" + more + "\n}"
}

func (p *person) hasKey(key string) {
	p.g.t.Helper()
	page := p.post("/oauth/account/connect", p.accountPage(), "server", "notion")
	if page = p.post("/oauth/account/key", page, "server", "notion", "key-0", key); !strings.Contains(page, "Connected") {
		p.g.t.Fatalf("the key is not taken: %s", page)
	}
}

const callPurge = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"purge","arguments":{}}}`

// What a server says of a tool to one account decides about no call with another.
func TestAnnotationsAreThoseOfTheAccount(t *testing.T) {
	s := newAccounted(t)
	s.reads["a"] = true
	g := newGateway(t, s.lines("tools {\nallow * read_only\n}"))
	alice, bob := g.person("alice"), g.person("bob")
	alice.hasKey("a")
	bob.hasKey("b")
	for range 2 { // before and after the other was listed it
		if got := status(t, bob.call(callPurge), http.StatusOK); !strings.Contains(got, "-32602") {
			t.Errorf("bob, to whom it deletes: got %s, want a refusal", got)
		}
		if got := status(t, alice.call(callPurge), http.StatusOK); strings.Contains(got, "error") {
			t.Errorf("alice, to whom it reads: got %s, want the answer of the server", got)
		}
	}
	if got := strings.Join(s.called, " "); got != "a a" {
		t.Errorf("called with the accounts %q, want %q", got, "a a")
	}
}

// Where the list can decide, and the server tells it only to those who have an account
// there, a call without one leads to connecting it.
func TestCallBeforeTheListIsKnownLeadsToConnecting(t *testing.T) {
	for name, more := range map[string]string{"rule": "tools {\nallow * read_only\n}", "pinned": "pin_tools hold"} {
		t.Run(name, func(t *testing.T) {
			s := newAccounted(t)
			s.reads["a"] = true
			g := newGateway(t, s.lines(more))
			alice := g.person("alice")
			for range 2 {
				if got := status(t, alice.call(callPurge), http.StatusOK); !connectLink.MatchString(got) {
					t.Errorf("got %s, want the link to connect", got)
				}
			}
			if strings.Contains(g.log(), "tools_unknown") || s.Hits() > 0 {
				t.Errorf("the server, which was asked %d times, is blamed in the log", s.Hits())
			}
			alice.hasKey("a")
			if got := status(t, alice.call(callPurge), http.StatusOK); strings.Contains(got, "error") {
				t.Errorf("connected: got %s, want the answer of the server", got)
			}
		})
	}
}

// What a server that is told which client calls says of a tool to one decides about no
// call of another, be it by rules or by what was approved.
func TestToolsAreThoseOfTheClient(t *testing.T) {
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for name, more := range map[string]string{"rule": "tools {\nallow * read_only\n}", "pinned": "pin_tools hold"} {
		t.Run(name, func(t *testing.T) {
			s := newAccounted(t)
			lines := people("alice") + "server notion /mcp " + s.URL + "/mcp {\nidentity_header X-Client client\n" + more + "\n}"
			g := newGateway(t, lines)
			addr := g.withAdmin(lines)
			one, other := g.app("one", ""), g.app("other", "")
			send := func(a *app, body string) string {
				return status(t, a.send("POST", "/mcp", body, "Authorization", "Bearer "+a.access, "Content-Type", "application/json"), http.StatusOK)
			}
			for _, a := range []*app{one, other} {
				a.completes(a.user("alice"))
			}
			s.reads[one.id] = true
			if got := send(one, list); !strings.Contains(got, "purge") { // which is the first list
				t.Fatalf("listed %s", got)
			}
			for range 2 { // before and after the other was listed it
				if got := send(other, callPurge); !strings.Contains(got, "-32602") {
					t.Errorf("the other client: got %s, want a refusal", got)
				}
				if got := send(one, callPurge); strings.Contains(got, "error") {
					t.Errorf("the one client: got %s, want the answer of the server", got)
				}
				if got := send(other, list); strings.Contains(got, "purge") {
					t.Errorf("the other client is listed %s", got)
				}
				send(one, list)
			}
			if got, want := strings.Join(s.called, " "), one.id+" "+one.id; got != want {
				t.Errorf("called by the clients %q, want %q", got, want)
			}
			if name == "rule" {
				for client, want := range map[string]string{"": `"allowed":true`, "&client=" + one.id: `"allowed":true`, "&client=" + other.id: `"allowed":false`} {
					wantIn(t, "may "+client, admin(t, addr, "GET", "/mcp_oauth/access?subject=alice&server=notion&name=purge"+client, 200), want)
				}
			}
		})
	}
}

// A server is asked for its tools with each account of a caller: what it was asked with
// one says nothing of another.
func TestCallWithTheOtherAccountBeforeAnyList(t *testing.T) {
	for name, more := range map[string]string{"rule": "tools {\nallow * read_only\n}\n", "pinned": "pin_tools hold\n"} {
		t.Run(name, func(t *testing.T) {
			s := &accountTools{service: newService(t), tools: map[string][]offeredTool{}}
			s.Answer = s.answer
			for _, account := range []string{"alice", "alice-work"} {
				s.tools[account] = []offeredTool{{Name: "purge", Annotations: map[string]bool{"readOnlyHint": true}}}
			}
			g := newGateway(t, people("alice")+strings.Replace(s.server("accounts several"), "title Notion\n", "title Notion\n"+more, 1))
			p := g.person("alice")
			p.account = "alice"
			p.connect("notion")
			p.add("work", "alice-work")
			for _, path := range []string{"/mcp", "/mcp/work"} {
				res := g.call("POST", path, callPurge, "Authorization", "Bearer "+keyOf("alice"), "Content-Type", "application/json")
				if got := status(t, res, http.StatusOK); strings.Contains(got, "error") {
					t.Errorf("%s: got %s, want the answer of the server", path, got)
				}
			}
			if got := fmt.Sprint(s.take()); got != "[{alice purge } {alice-work purge }]" {
				t.Errorf("called %s", got)
			}
		})
	}
}
