package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// E25: every call carries the account of the person who makes it, whoever else
// calls at the same time.
func TestEachCallCarriesItsOwnAccount_E25(t *testing.T) {
	l := newLab(t)
	names := make([]string, 20)
	for i := range names {
		names[i] = fmt.Sprintf("person%02d", i)
	}
	g := newGateway(t, people(names...)+l.server())
	all := make([]*person, len(names))
	for i, name := range names {
		all[i] = g.person(name)
		all[i].connect("notion")
	}
	var calls sync.WaitGroup
	for range 10 {
		for _, p := range all {
			calls.Go(func() { p.wantAccount(p.name) })
		}
	}
	calls.Wait()
	l.with(func() { clear(l.access) }) // and when all are refreshed at once
	for range 5 {
		for _, p := range all {
			calls.Go(func() { p.wantAccount(p.name) })
		}
	}
	calls.Wait()
	l.with(func() {
		if l.refreshes != len(all) {
			t.Errorf("%d refreshes for %d people", l.refreshes, len(all))
		}
	})
	if log := g.log(); strings.Contains(log, "at-") && strings.Contains(log, "-person") {
		t.Error("the log has a token")
	}
}

// A body is sent again as it was, whatever became of the buffer it was in.
func TestBodyIsSentAgain(t *testing.T) {
	l := newLab(t)
	sizes := map[string]int{"a": 0, "b": 511, "c": 4096, "d": maxHeldBody - 200}
	g := newGateway(t, people("a", "b", "c", "d", "large")+l.server())
	bodyOf := func(size int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":%q}}`, strings.Repeat("x", size))
	}
	for name, size := range sizes {
		p := g.person(name)
		p.connect("notion")
		l.expire()
		got := status(t, p.call(bodyOf(size)), http.StatusOK)
		if want := strings.ReplaceAll(bodyOf(size), `"`, `\"`); !strings.Contains(got, want) || !strings.Contains(got, `"account":"`+name+`"`) {
			t.Errorf("%d: the upstream got another body: %.200s", size, got)
		}
	}
	p := g.person("large")
	p.connect("notion")
	l.expire()
	res := p.call(bodyOf(maxHeldBody))
	if body := status(t, res, http.StatusServiceUnavailable); res.Header.Get("Retry-After") == "" || !strings.Contains(body, "again") {
		t.Errorf("%v %s", res.Header, body)
	}
	if got := status(t, p.call(bodyOf(maxHeldBody)), http.StatusOK); !strings.Contains(got, strings.Repeat("x", maxHeldBody)) {
		t.Error("a large body does not pass")
	}
}

// E24: what an upstream says about a credential ends here.
func TestRefusedCredential_E24(t *testing.T) {
	l := newLab(t)
	g := newGateway(t, people("alice", "bob")+l.server())
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	l.expire()
	alice.wantAccount("alice") // refreshed, once
	clean := func(res *http.Response, body string) {
		t.Helper()
		if strings.Contains(body, canary) || strings.Contains(fmt.Sprint(res.Header), canary) || strings.Contains(fmt.Sprint(res.Header), l.URL) {
			t.Errorf("the client got %v %s", res.Header, body)
		}
	}
	l.with(func() { clear(l.access); l.refuse = true })
	for range 3 {
		res := bob.call(toolCall)
		body := status(t, res, http.StatusOK)
		clean(res, body)
		if !strings.Contains(body, `"isError":true`) || !strings.Contains(body, g.url+"/oauth/connect/") {
			t.Errorf("no link: %s", body)
		}
	}
	l.with(func() {
		if l.refreshes != 2 {
			t.Errorf("%d refreshes", l.refreshes)
		}
	})
	if strings.Contains(g.log(), canary) {
		t.Error("the log has what the upstream or the provider said")
	}
}

// E22, P-11: a session belongs to one person and one account.
func TestSessionOfAnAccount_E22_P11(t *testing.T) {
	l := newLab(t)
	g := newGateway(t, people("alice", "bob")+l.server())
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	session := alice.call(initialize).Header.Get("Mcp-Session-Id")
	use := func(p *person, want int) string {
		t.Helper()
		return status(t, p.call(toolCall, "Mcp-Session-Id", session), want)
	}
	if got := use(alice, http.StatusOK); !strings.Contains(got, `"session":"session-of-alice"`) {
		t.Errorf("the upstream's session: %s", got)
	}
	use(bob, http.StatusNotFound)
	l.expire()
	use(alice, http.StatusOK) // a refresh keeps the session
	alice.account = "alice-elsewhere"
	alice.connect("notion")
	use(alice, http.StatusNotFound)
	alice.wantAccount("alice-elsewhere")
	session = alice.call(initialize).Header.Get("Mcp-Session-Id")
	use(alice, http.StatusOK)
	alice.disconnect("notion")
	res := g.call("DELETE", "/mcp", "", "Authorization", "Bearer "+keyOf("alice"), "Mcp-Session-Id", session)
	status(t, res, http.StatusNotFound)
	alice.connect("notion")
	use(alice, http.StatusNotFound)
}
