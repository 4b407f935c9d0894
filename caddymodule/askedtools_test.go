package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// asking is an MCP server without sessions, and what it was asked.
type asking struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	tools    func(r *http.Request) []offeredTool
}

func newAsking(t *testing.T, tools func(r *http.Request) []offeredTool) *asking {
	t.Helper()
	s := &asking{tools: tools}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *asking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	oauthtest.ReadBody(r) // else nobody notices when the other side has gone
	answerList(w, r, s.tools(r))
}

// answerList answers a request for a list of tools.
func answerList(w http.ResponseWriter, r *http.Request, tools []offeredTool) {
	body, err := io.ReadAll(r.Body)
	var m struct{ ID json.RawMessage }
	if err != nil || json.Unmarshal(body, &m) != nil || m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	list, _ := json.Marshal(tools) // parts that marshal
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"tools":%s}}`, m.ID, list)
}

func (s *asking) asked() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// boxes returns the tools that have a box on a page.
func boxes(page string) (names []string) {
	for _, line := range strings.Split(page, "\n") {
		if _, name, found := strings.Cut(line, "<bdi><code>"); found && strings.Contains(line, `name="tool"`) {
			name, _, _ = strings.Cut(name, "<")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func wantBoxes(t *testing.T, of, page string, want ...string) {
	t.Helper()
	if got := boxes(page); !slices.Equal(got, want) {
		t.Errorf("%s: boxes for %q, want %q in %s", of, got, want, page)
	}
}

// Somebody who signs in before anybody has called anything can choose among the tools of
// the server. It is asked once, and told nothing of the browser.
func TestToolsAtTheFirstSignIn(t *testing.T) {
	upstream := newAsking(t, func(*http.Request) []offeredTool {
		return append([]offeredTool{{Name: "<b>bold</b>"}}, threeTools...)
	})
	g := newGateway(t, people("alice")+"server notes /mcp "+upstream.URL+"/mcp {\nauth headers {\nX-Shared a-shared-credential\n}\n}")
	a := g.app("editor", "")
	p := a.user("alice")
	a.registers(http.StatusCreated, nil)
	page := a.signsIn(p)
	wantBoxes(t, "the first page", page.Body, "&lt;b&gt;bold&lt;/b&gt;", "create_page", "delete_page", "read_page")
	done := p.browser.Submit(t, page, "/api/oauth/per-user/consent/submit", url.Values{
		"decision": {"approve"}, "tools:notes": {"ticked"}, "tool": {box(t, page.Body, "create_page")},
	})
	if done.Leaving == nil {
		t.Fatalf("status %d: %s", done.Status, done.Text())
	}
	if got := g.onlyGrant().Chosen; len(got) != 1 || !slices.Equal(got[0].Tools, []string{"create_page"}) {
		t.Errorf("chosen %+v, want create_page", got)
	}
	wantBoxes(t, "the account page", p.visit(g.url+"/oauth/account").Body, "&lt;b&gt;bold&lt;/b&gt;", "create_page", "delete_page", "read_page")
	all := upstream.asked()
	if len(all) != 1 {
		t.Fatalf("asked %d times, want once", len(all))
	}
	if got := all[0].Header; got.Get("X-Shared") != "a-shared-credential" || got.Get("Mcp-Protocol-Version") != "2026-07-28" || got.Get("Cookie")+got.Get("Referer") != "" || strings.Contains(got.Get("User-Agent"), "Mozilla") || all[0].URL.Path != "/mcp" {
		t.Errorf("asked %s with %v", all[0].URL, got)
	}
}

// What a server lists by account is shown to whoever connected that account, as soon as
// they have, and to nobody else; and no account's token is sent for another person.
func TestToolsOfEachAccount(t *testing.T) {
	notion := newService(t)
	notion.Answer = func(w http.ResponseWriter, r *http.Request) {
		account, _ := notion.provider.Accepts(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		answerList(w, r, []offeredTool{{Name: "of_" + account}})
	}
	g := newGateway(t, people("alice", "bob")+notion.server("accounts several"))
	signsIn := func(name, account, path string) (*person, *oauthtest.Page) {
		a := g.app("editor", "")
		a.resource = g.url + path
		p := a.user(name)
		p.account = account
		a.registers(http.StatusCreated, nil)
		page := a.signsIn(p)
		wantBoxes(t, name+" has connected nothing at "+path, page.Body)
		if !strings.Contains(page.Body, "Connect it, and you can choose among its tools here.") {
			t.Errorf("it is not said why: %s", page.Text())
		}
		notion.ForgetAccounts()
		page = p.browser.Submit(t, page, "/api/oauth/per-user/upstream/authorize", url.Values{"server": {serverOf(path)}})
		return p, page
	}
	for _, tt := range []struct{ name, account, path string }{
		{"alice", "alice", "/mcp"}, {"alice", "alice-work", "/mcp/work"}, {"bob", "bob", "/mcp"}, {"bob", "bob-work", "/mcp/work"},
	} {
		p, page := signsIn(tt.name, tt.account, tt.path)
		wantBoxes(t, tt.account, page.Body, "of_"+tt.account)
		for _, account := range notion.Accounts() {
			if account != tt.account && account != "" {
				t.Errorf("for %s, the server was asked as %s", tt.account, account)
			}
		}
		if len(notion.Accounts()) == 0 {
			t.Errorf("for %s, the server was not asked", tt.account)
		}
		done := p.browser.Submit(t, page, "/api/oauth/per-user/consent/submit", url.Values{
			"decision": {"approve"}, "tools:" + serverOf(tt.path): {"ticked"}, "tool": {box(t, page.Body, "of_"+tt.account)},
		})
		if done.Leaving == nil {
			t.Fatalf("status %d: %s", done.Status, done.Text())
		}
	}
	for name, want := range map[string][]string{"alice": {"of_alice", "of_alice-work"}, "bob": {"of_bob", "of_bob-work"}} {
		wantBoxes(t, "the account page of "+name, g.person(name).accountPage(), want...)
	}
}

func serverOf(path string) string { return "notion" + strings.TrimPrefix(path, "/mcp") }

// A server that is told who calls is told for whom it is asked, and what it says to one
// person is not shown to another.
func TestToolsOfWhoIsTold(t *testing.T) {
	upstream := newAsking(t, func(r *http.Request) []offeredTool {
		return []offeredTool{{Name: "of_" + strings.ReplaceAll(r.Header.Get("X-User"), ":", "_")}}
	})
	g := newGateway(t, people("alice", "bob")+"server notes /mcp "+upstream.URL+"/mcp {\nidentity_header X-User identity\n}")
	for _, name := range []string{"alice", "bob"} {
		a := g.app("editor", "")
		a.registers(http.StatusCreated, nil)
		wantBoxes(t, name, a.signsIn(a.user(name)).Body, "of_virtual_key_"+name)
	}
}

// A page does not wait for a server that does not answer, says so, and shows what it has
// said once it has. Meanwhile it is asked once.
func TestPageDoesNotWaitForTools(t *testing.T) {
	release, pending := make(chan struct{}), make(chan *http.Request, 10)
	upstream := newAsking(t, func(r *http.Request) []offeredTool {
		pending <- r
		<-release
		return threeTools
	})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	g := newGateway(t, people("alice")+"server notes /mcp "+upstream.URL+"/mcp")
	a := g.app("editor", "")
	p := a.user("alice")
	a.registers(http.StatusCreated, nil)
	page := a.signsIn(p)
	wantBoxes(t, "while the server does not answer", page.Body)
	if !strings.Contains(page.Body, "It has not said in time which tools it has.") || !strings.Contains(page.Body, `value="reading"`) {
		t.Errorf("it is not said: %s", page.Text())
	}
	again := p.browser.Open(t, page.URL.String())
	wantBoxes(t, "again", again.Body)
	if r := <-pending; r.Context().Err() != nil {
		t.Error("the page waited until nobody waits for the server any more")
	}
	if got := len(upstream.asked()); got != 1 {
		t.Errorf("asked %d times at the same time, want once", got)
	}
	let()
	oauthtest.Eventually(t, "what the server said is not shown", func() bool {
		return slices.Equal(boxes(p.browser.Open(t, page.URL.String()).Body), []string{"create_page", "delete_page", "read_page"})
	})
}

// A server that sends elsewhere, or does not take the credential, is asked no further,
// and operators read why people see nothing.
func TestServersThatListNothing(t *testing.T) {
	elsewhere := newAsking(t, func(*http.Request) []offeredTool { return threeTools })
	for name, answer := range map[string]http.HandlerFunc{
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"denies":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"breaks off":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"has garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<script>alert(1)</script>") },
		"never ends": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				if _, err := io.WriteString(w, "data: "+strings.Repeat("x", 64<<10)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := httptest.NewServer(answer)
			defer upstream.Close()
			g := newGateway(t, people("alice")+"server notes /mcp "+upstream.URL+"/mcp {\nauth headers {\nX-Shared a-shared-credential\n}\n}")
			a := g.app("editor", "")
			a.registers(http.StatusCreated, nil)
			page := a.signsIn(a.user("alice"))
			wantBoxes(t, name, page.Body)
			if !strings.Contains(page.Body, "It has not said in time which tools it has.") {
				t.Errorf("it is not said: %s", page.Text())
			}
			oauthtest.Eventually(t, "the log does not say why", func() bool { return strings.Contains(g.log(), `"reason":"tools_unknown"`) })
			if log := g.log(); strings.Contains(log, "a-shared-credential") || strings.Contains(log, "script") {
				t.Errorf("the log has a secret, or what the server said: %s", log)
			}
		})
	}
	if got := elsewhere.asked(); len(got) != 0 {
		t.Errorf("a redirect was followed, with %v", got[0].Header)
	}
}
