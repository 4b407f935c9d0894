package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// E25: of a hundred people who all make a hundred calls at the same time, each
// call carries the account of the person who makes it, and each answer is that
// of the call.
func TestEachCallCarriesItsOwnAccount_E25_CL18(t *testing.T) {
	notion := newService(t)
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf("person%03d", i)
	}
	lines := people(names...) + notion.server()
	g := newGateway(t, lines)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "admin off\nservers {\ntrusted_proxies static 127.0.0.1/32\n}", 1))
	all := make([]*person, len(names))
	for i, name := range names {
		all[i] = g.person(name)
		all[i].address = fmt.Sprintf("192.0.2.%d", i) // as few can sign in from the same at once
		all[i].connect("notion")
	}
	// Most of the time a call waits for a connection, and a busy machine is no failure.
	client := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	everybodyCalls := func(times int) {
		var calls sync.WaitGroup
		for n := range times {
			for i, p := range all {
				calls.Go(func() { p.wantEcho(client, n*len(all)+i) })
			}
		}
		calls.Wait()
	}
	everybodyCalls(100)
	if calls, refreshes := len(notion.Accounts()), len(notion.provider.Refreshes()); calls < 100*len(all) || refreshes != 0 {
		t.Errorf("%d calls arrived, after %d refreshes; want %d, after none", calls, refreshes, 100*len(all))
	}
	notion.provider.ExpireAll() // and when all are refreshed at once
	everybodyCalls(10)
	if got := len(notion.provider.Refreshes()); got != len(all) {
		t.Errorf("%d refreshes for %d people, want one each", got, len(all))
	}
	if log := g.log(); strings.Contains(log, "at-") && strings.Contains(log, "-person") {
		t.Error("the log has a token")
	}
}

// wantEcho makes a call, among many, and checks that the answer is the one to
// this call by this person.
func (p *person) wantEcho(client *http.Client, id int) {
	sent := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q}}`, id, p.name)
	req, _ := http.NewRequestWithContext(p.g.t.Context(), "POST", p.g.url+"/mcp", strings.NewReader(sent))
	req.Header.Set("Authorization", "Bearer "+keyOf(p.name))
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		p.g.t.Error(err)
		return
	}
	defer res.Body.Close()
	var echo struct {
		ID     int
		Result struct{ Account, Body string }
	}
	err = json.NewDecoder(res.Body).Decode(&echo)
	if err != nil || res.StatusCode != http.StatusOK || echo.ID != id || echo.Result.Account != p.name || echo.Result.Body != sent {
		p.g.t.Errorf("%s sent %s: %d, %+v, %v", p.name, sent, res.StatusCode, echo, err)
	}
}

// A body is sent again as it was, whatever became of the buffer it was in.
func TestBodyIsSentAgain(t *testing.T) {
	notion := newService(t)
	sizes := map[string]int{"a": 0, "b": 511, "c": 4096, "d": mcp.MaxRequest - 200}
	g := newGateway(t, people("a", "b", "c", "d", "large")+notion.server())
	bodyOf := func(size int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":%q}}`, strings.Repeat("x", size))
	}
	for name, size := range sizes {
		p := g.person(name)
		p.connect("notion")
		notion.provider.ExpireAll()
		got := status(t, p.call(bodyOf(size)), http.StatusOK)
		if want := strings.ReplaceAll(bodyOf(size), `"`, `\"`); !strings.Contains(got, want) || !strings.Contains(got, `"account":"`+name+`"`) {
			t.Errorf("%d: the upstream got another body: %.200s", size, got)
		}
	}
	p := g.person("large")
	p.connect("notion")
	notion.provider.ExpireAll()
	res := p.call(bodyOf(mcp.MaxRequest))
	if body := status(t, res, http.StatusServiceUnavailable); res.Header.Get("Retry-After") == "" || !strings.Contains(body, "again") {
		t.Errorf("%v %s", res.Header, body)
	}
	if got := status(t, p.call(bodyOf(mcp.MaxRequest)), http.StatusOK); !strings.Contains(got, strings.Repeat("x", mcp.MaxRequest)) {
		t.Error("a large body does not pass")
	}
}

// E24: what an upstream says about a credential ends here.
func TestRefusedCredential_E24(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server())
	alice, bob := g.person("alice"), g.person("bob")
	alice.connect("notion")
	bob.connect("notion")
	notion.provider.ExpireAll()
	alice.wantAccount("alice") // refreshed, once
	clean := func(res *http.Response, body string) {
		t.Helper()
		if strings.Contains(body, oauthtest.Canary) || strings.Contains(fmt.Sprint(res.Header), oauthtest.Canary) || strings.Contains(fmt.Sprint(res.Header), notion.URL) {
			t.Errorf("the client got %v %s", res.Header, body)
		}
	}
	notion.refuse()
	for range 3 {
		res := bob.call(toolCall)
		body := status(t, res, http.StatusOK)
		clean(res, body)
		if !strings.Contains(body, `"isError":true`) || !strings.Contains(body, g.url+"/oauth/connect/") {
			t.Errorf("no link: %s", body)
		}
	}
	if got := len(notion.provider.Refreshes()); got != 2 {
		t.Errorf("%d refreshes, want 2", got)
	}
	if strings.Contains(g.log(), oauthtest.Canary) {
		t.Error("the log has what the upstream or the provider said")
	}
}

// E22, P-11: a session belongs to one person and one account.
func TestSessionOfAnAccount_E22_P11(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice", "bob")+notion.server())
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
	notion.provider.ExpireAll()
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

// E22, P-11: a session that was opened with somebody's account does not go on
// where the site has none any more, nor one without where it has them.
func TestSessionAfterAccountsLeft_E22_P11(t *testing.T) {
	notion := newService(t)
	t.Setenv("SITE_TOKEN", "token-of-the-site")
	notion.provider.Adopt("token-of-the-site", "site")
	with := people("alice") + notion.server("optional")
	without := people("alice") + "insecure_allow_loopback\nserver notion /mcp " + notion.URL + "/mcp {\ntitle Notion\nauth headers {\nAuthorization \"Bearer {env.SITE_TOKEN}\"\n}\n}\n"
	g := newGateway(t, with)
	alice := g.person("alice")
	alice.connect("notion")
	opened := func() string {
		t.Helper()
		id := alice.call(initialize).Header.Get("Mcp-Session-Id")
		if id == "" {
			t.Fatal("no session")
		}
		return id
	}
	use := func(session string, want int) {
		t.Helper()
		status(t, alice.call(toolCall, "Mcp-Session-Id", session), want)
	}
	linked := opened()
	use(linked, http.StatusOK)
	g.load(g.caddyfile(without))
	use(linked, http.StatusNotFound)
	plain := opened()
	use(plain, http.StatusOK)
	g.load(g.caddyfile(with))
	use(plain, http.StatusNotFound)
	use(linked, http.StatusOK)
}

// P-11, when the person connects another account while a call is under way: what
// is sent again after a 401 is not sent into the session of the first.
func TestAnotherAccountDuringACall_E22_P11(t *testing.T) {
	notion := newService(t)
	g := newGateway(t, people("alice")+notion.server())
	alice := g.person("alice")
	alice.connect("notion")
	session := alice.call(initialize).Header.Get("Mcp-Session-Id")
	notion.Watch = func(_ *http.Request, token string) {
		notion.Change(func() { notion.Watch = nil })
		alice.account = "alice-elsewhere"
		alice.connect("notion")
		notion.provider.Expire(token)
	}
	status(t, alice.call(toolCall, "Mcp-Session-Id", session), http.StatusNotFound)
	if got := notion.Accounts(); slices.Contains(got, "alice-elsewhere") {
		t.Errorf("calls carried the accounts %q, want none of the other account", got)
	}
	alice.wantAccount("alice-elsewhere")
}
