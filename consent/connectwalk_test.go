package consent

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
)

var pressNotion = url.Values{"server": {"notion"}, "resource": {"https://mcp.example.com/mcp/notion"}}

// follow opens where an answer leads.
func (b *browser) follow(w *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	b.t.Helper()
	mustAnswer(b.t, w, http.StatusSeeOther)
	return b.open(w.Header().Get("Location"))
}

// carries returns what a person's calls to a server would carry.
func (w *walk) carries(owner, server string) string {
	w.t.Helper()
	c, err := w.broker.Credential(w.t.Context(), owner, server)
	if err != nil {
		return err.Error()
	}
	return c.Headers[0].Value
}

func TestWalkConnectsAtConsent(t *testing.T) {
	p := newProvider(t)
	b := newWalkTo(t, upstreams(p)...).browser()
	page := b.signIn("alice")

	early := b.follow(b.press(page, submitPath, approveBoth))
	if !strings.Contains(shows(early), "This service is required") {
		t.Fatalf("finished without what is required:\n%s", shows(early))
	}
	page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "alice's")))
	if !strings.Contains(shows(page), "Connect Notion again") || !strings.Contains(shows(page), "<code>pages.read</code>") {
		t.Fatalf("not connected:\n%s", shows(page))
	}
	if got := b.carries("user_id:alice", "notion"); got != accounts.ErrNotConnected.Error() {
		t.Errorf("before the end of the flow, calls carry %q", got)
	}

	keys := b.follow(b.press(page, flowConnectPath, url.Values{"server": {"github"}}))
	keys = b.follow(b.press(keys, flowPastePath, url.Values{"key-0": {"ghp_bad"}}))
	if !strings.Contains(shows(keys), "does not accept this key") || strings.Contains(shows(keys), "ghp_bad") {
		t.Fatalf("wrong key:\n%s", shows(keys))
	}
	page = b.follow(b.press(keys, flowPastePath, url.Values{"key-0": {goodKey}}))
	if got := answer(t, b.press(page, submitPath, approveBoth)); got.Get("code") == "" {
		t.Fatalf("answer = %v", got)
	}
	if got := b.carries("user_id:alice", "notion"); got != "Bearer at-alice's-1" {
		t.Errorf("calls to Notion carry %q", got)
	}
	if got := b.carries("user_id:alice", "github"); got != "Bearer "+goodKey {
		t.Errorf("calls to GitHub carry %q", got)
	}

	again := b.signIn("alice")
	if n := strings.Count(shows(again), ">Connected<"); n != 2 {
		t.Errorf("%d servers are connected the next time:\n%s", n, shows(again))
	}
	if other := b.walk.browser().signIn("bob"); strings.Contains(shows(other), ">Connected<") {
		t.Error("somebody else is connected too")
	}
}

// An answer of the provider is worth nothing in another browser, twice, or on
// another path.
func TestWalkAnswersOfProviders_I02_K02(t *testing.T) {
	p := newProvider(t)
	w := newWalkTo(t, upstreams(p)...)
	alice, eve := w.browser(), w.browser()
	page := alice.signIn("alice")
	back := agree(t, alice.press(page, flowConnectPath, pressNotion), "alice's")
	eve.signIn("eve")
	mustAnswer(t, eve.open(back), http.StatusForbidden)
	if exchanged(p) != 0 {
		t.Fatal("the code was exchanged")
	}
	if page := alice.follow(alice.open(back)); !strings.Contains(shows(page), "Connect Notion again") {
		t.Errorf("not connected:\n%s", shows(page))
	}
	mustAnswer(t, alice.open(back), http.StatusForbidden) // the cookie is gone

	back = agree(t, alice.press(page, flowConnectPath, pressNotion), "second")
	other := strings.Replace(back, "/api/oauth/callback?", "/api/oauth/callback/notion?", 1)
	if page := alice.follow(alice.open(other)); !strings.Contains(shows(page), "did not come from the service") {
		t.Errorf("taken on another path:\n%s", shows(page))
	}
	if exchanged(p) != 1 {
		t.Errorf("%d codes were exchanged", exchanged(p))
	}
}

func TestWalkDeclined(t *testing.T) {
	b := newWalkTo(t, upstreams(newProvider(t))...).browser()
	page := b.signIn("alice")
	back := strings.Replace(agree(t, b.press(page, flowConnectPath, pressNotion), ""), "code=", "error=access_denied&error_description=%3Cb%3E", 1)
	page = b.follow(b.open(back))
	if !strings.Contains(shows(page), "you did not agree") || strings.Contains(shows(page), "<b>") || !strings.Contains(shows(page), ">Connect Notion<") {
		t.Errorf("page:\n%s", shows(page))
	}
	if got := answer(t, b.press(page, submitPath, url.Values{"decision": {"deny"}})); got.Get("error") != "access_denied" {
		t.Errorf("answer = %v", got)
	}
}

func TestWalkDeniedAfterConnecting(t *testing.T) {
	b := newWalkTo(t, upstreams(newProvider(t))...).browser()
	page := b.signIn("alice")
	page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "alice's")))
	answer(t, b.press(page, submitPath, url.Values{"decision": {"deny"}}))
	if got := b.carries("user_id:alice", "notion"); got != accounts.ErrNotConnected.Error() {
		t.Errorf("calls carry %q", got)
	}
}

func TestWalkAccount_I15(t *testing.T) {
	w := newWalkTo(t, upstreams(newProvider(t))...)
	b := w.browser()
	page := b.signIn("alice")
	page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "alice's")))
	answer(t, b.press(page, submitPath, approveBoth))

	page = b.open(accountPath)
	if !strings.Contains(shows(page), "“\u2068Editor\u2069”") || !strings.Contains(shows(page), "the app that opens cursor: links") {
		t.Fatalf("page:\n%s", shows(page))
	}
	page = b.follow(b.press(page, disconnectPath, nil))
	if strings.Contains(shows(page), ">Disconnect<") || w.carries("user_id:alice", "notion") != accounts.ErrNotConnected.Error() {
		t.Errorf("after disconnecting:\n%s", shows(page))
	}
	page = b.follow(b.open(agree(t, b.press(page, accountConnectPath, url.Values{"server": {"notion"}}), "again")))
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-again-2" {
		t.Errorf("after connecting again, calls carry %q", got)
	}
	page = b.follow(b.press(page, revokeGrantPath, nil))
	if !strings.Contains(shows(page), "None at the moment.") {
		t.Errorf("after revoking:\n%s", shows(page))
	}
	old := *b
	old.cookies = map[string]string{}
	for name, value := range b.cookies {
		old.cookies[name] = value
	}
	if page := b.follow(b.press(page, signOutPath, nil)); !strings.Contains(shows(page), "Sign in to see") {
		t.Errorf("after signing out:\n%s", shows(page))
	}
	if page := old.open(accountPath); !strings.Contains(shows(page), "Sign in to see") {
		t.Error("the old cookie still works")
	}
	page = b.follow(b.press(b.open(accountPath), accountFormsPath+"user-id", url.Values{"user_id": {"alice"}}))
	page = b.follow(b.press(page, signOutEverywherePath, nil))
	if !strings.Contains(shows(page), "Sign in to see") {
		t.Errorf("after signing out everywhere:\n%s", shows(page))
	}
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-again-2" {
		t.Errorf("the connection is gone too: %q", got)
	}
}

// What one person connected in a flow does not become another's, nor does what
// they come back with.
func TestWalkIdentityChangedAfterConnecting_I10(t *testing.T) {
	p := newProvider(t)
	b := newWalkTo(t, upstreams(p)...).browser()
	identityURL := b.start()
	identityPage := b.open(identityURL)
	as := func(user string) *httptest.ResponseRecorder {
		return b.follow(b.press(identityPage, userIDPath, url.Values{"user_id": {user}}))
	}
	b.follow(b.open(agree(t, b.press(as("alice"), flowConnectPath, pressNotion), "alice's")))
	page := as("alice")
	if !strings.Contains(shows(page), ">Connected<") {
		t.Error("the same person has to connect again")
	}
	late := agree(t, b.press(page, flowConnectPath, pressNotion), "alice's")
	page = as("bob")
	if strings.Contains(shows(page), ">Connected<") {
		t.Error("Bob has what Alice connected")
	}
	mustAnswer(t, b.open(late), http.StatusBadRequest)
	if exchanged(p) != 1 {
		t.Error("what Alice came back with was taken")
	}
}

// A form that was loaded before somebody else signed in does nothing.
func TestWalkStaleForm_I10_I11(t *testing.T) {
	w := newWalkTo(t, upstreams(newProvider(t))...)
	b := w.browser()
	signIn := func(user string) *httptest.ResponseRecorder {
		return b.follow(b.press(b.open(accountPath), accountFormsPath+"user-id", url.Values{"user_id": {user}}))
	}
	ofAlice := signIn("alice")
	mustAnswer(t, b.press(ofAlice, signOutPath, nil), http.StatusSeeOther)
	signIn("bob")
	mustAnswer(t, b.press(ofAlice, accountConnectPath, url.Values{"server": {"notion"}}), http.StatusForbidden)
}

// A stranger cannot make this site, or a provider, work without end.
func TestWalkConnectsAreLimited(t *testing.T) {
	b := newWalkTo(t, upstreams(newProvider(t))...).browser()
	page := b.signIn("alice")
	for range 20 {
		agree(t, b.press(page, flowConnectPath, pressNotion), "")
	}
	mustAnswer(t, b.press(page, flowConnectPath, pressNotion), http.StatusTooManyRequests)
	agree(t, b.press(b.signIn("alice"), flowConnectPath, pressNotion), "")
}
