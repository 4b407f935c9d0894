package consent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// link opens a link that was made for the subject.
func (b *browser) link(subject, server string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.open(strings.TrimPrefix(b.as.Links.URL(storage.Identity{Subject: subject}, server), "https://mcp.example.com"))
}

// sharedLink returns the path of a link on which a server is connected for everybody.
func (b *browser) sharedLink(server string) string {
	b.t.Helper()
	link, err := b.as.Links.SharedURL(b.t.Context(), server)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimPrefix(link, "https://mcp.example.com")
}

// Alice's link in Bob's browser, signed in or not, gives Bob nothing of hers,
// and her nothing of his; in hers it connects.
func TestWalkLink_K01_D22(t *testing.T) {
	p := newProvider(t)
	w := newWalkTo(t, upstreams(p)...)
	bob := w.browser()
	page := bob.link("user_id:alice", "notion")
	mustAnswer(t, page, http.StatusForbidden)
	page = bob.follow(bob.press(page, accountFormsPath+"user-id", url.Values{"user_id": {"bob"}}))
	mustAnswer(t, page, http.StatusForbidden)
	own := bob.link("user_id:bob", "notion")
	ticket := hiddenFields(t, page, accountFormsPath+"vk").Get("ticket")
	mustAnswer(t, bob.press(own, accountConnectPath, url.Values{"ticket": {ticket}}), http.StatusForbidden)

	alice := w.browser()
	page = alice.link("user_id:alice", "notion")
	page = alice.follow(alice.press(page, accountFormsPath+"user-id", url.Values{"user_id": {"alice"}}))
	mustAnswer(t, page, http.StatusOK)
	back := agree(t, alice.press(page, accountConnectPath, nil), "alice's")
	mustAnswer(t, bob.open(back), http.StatusForbidden)
	page = alice.follow(alice.open(back))
	if !strings.Contains(shows(page), "Go back to your application") {
		t.Errorf("page:\n%s", shows(page))
	}
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-alice's-1" {
		t.Errorf("Alice's calls carry %q", got)
	}
	if got := w.carries("user_id:bob", "notion"); got != accounts.ErrNotConnected.Error() {
		t.Errorf("Bob's calls carry %q", got)
	}
}

// Who has no name is known by the browser in which they let the client in.
func TestWalkLinkOfNobody(t *testing.T) {
	w := newWalkTo(t, upstreams(newProvider(t))...)
	b := w.browser()
	page := b.follow(b.press(b.open(b.start()), anonymousPath, nil))
	page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "first")))
	answer(t, b.press(page, submitPath, approveBoth))
	s, err := w.as.Sessions.Open(httptest.NewRecorder(), b.request("/oauth/account"))
	if err != nil || s.Identity == nil {
		t.Fatalf("got %+v, error %v; want somebody signed in", s, err)
	}
	subject := s.Identity.Subject
	if got := w.carries(subject, "notion"); got != "Bearer at-first-1" {
		t.Errorf("calls carry %q", got)
	}
	page = b.link(subject, "github")
	mustAnswer(t, page, http.StatusOK)
	page = b.follow(b.press(page, accountConnectPath, nil))
	page = b.follow(b.press(page, accountKeyPath, url.Values{"key-0": {goodKey}}))
	if !strings.Contains(shows(page), "github is connected") || w.carries(subject, "github") != "Bearer "+goodKey {
		t.Errorf("page:\n%s", shows(page))
	}
	mustAnswer(t, w.browser().link(subject, "github"), http.StatusForbidden)
}

// request is a page load with the browser's cookies.
func (b *browser) request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// A link for the connection that everybody shares is the operator's proof; it
// connects nothing else, and nobody else's link connects that.
func TestWalkSharedConnection(t *testing.T) {
	p := newProvider(t)
	servers := upstreams(p)
	servers[0].Auth.Mode = config.OAuth
	w := newWalkTo(t, servers...)
	operator := w.browser()
	mustAnswer(t, operator.open(operator.sharedLink("github")), http.StatusNotFound)
	page := operator.open(operator.sharedLink("notion"))
	if !strings.Contains(shows(page), "Everybody on this site will use the one account") {
		t.Fatalf("page:\n%s", shows(page))
	}
	back := agree(t, operator.press(page, accountConnectPath, nil), "company")
	mustAnswer(t, w.browser().open(back), http.StatusForbidden)
	page = operator.follow(operator.open(back))
	if !strings.Contains(shows(page), "Everybody on this site uses this account now") || strings.Contains(shows(page), accountPath) {
		t.Errorf("page:\n%s", shows(page))
	}
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-company-1" {
		t.Errorf("Alice's calls carry %q", got)
	}

	alice := w.browser()
	page = alice.follow(alice.press(alice.open(accountPath), accountFormsPath+"user-id", url.Values{"user_id": {"alice"}}))
	if strings.Contains(shows(page), "Connect Notion") || !strings.Contains(shows(page), "Address of Notion") {
		t.Error("the account page offers what is not hers, or does not name the server")
	}
	mustAnswer(t, alice.press(page, accountConnectPath, url.Values{"server": {"notion"}}), http.StatusNotFound)
	mustAnswer(t, alice.link("user_id:alice", "notion"), http.StatusNotFound)
	if page := alice.signIn("alice"); strings.Contains(shows(page), "Connect Notion") {
		t.Error("the services page offers what is not hers")
	}
}

// Where an operator alone connects, the pages for that are there.
func TestWalkOnlySharedConnections(t *testing.T) {
	servers := upstreams(newProvider(t))[:1]
	servers[0].Auth.Mode = config.OAuth
	b := newWalkTo(t, servers...).browser()
	mustAnswer(t, b.open(b.sharedLink("notion")), http.StatusOK)
	mustAnswer(t, b.open("/api/oauth/callback?state=x&code=y"), http.StatusForbidden)
}

// The link that an operator asked for connects one account: not another in the
// same browser, nor one that somebody was about to connect in another. A first
// try that failed does not count.
func TestWalkSharedLinkOnce(t *testing.T) {
	servers := upstreams(newProvider(t))[:1]
	servers[0].Auth.Mode = config.OAuth
	w := newWalkTo(t, servers...)
	operator, other := w.browser(), w.browser()
	link := operator.sharedLink("notion")
	page, otherPage := operator.open(link), other.open(link)
	declined := strings.Replace(agree(t, operator.press(page, accountConnectPath, nil), ""), "code=", "error=access_denied&x=", 1)
	page = operator.follow(operator.open(declined))
	if !strings.Contains(shows(page), "you did not agree") {
		t.Fatalf("page:\n%s", shows(page))
	}
	late := agree(t, other.press(otherPage, accountConnectPath, nil), "other's")
	page = operator.follow(operator.open(agree(t, operator.press(page, accountConnectPath, nil), "company")))
	if !strings.Contains(shows(page), "Everybody on this site uses this account now") {
		t.Fatalf("page:\n%s", shows(page))
	}

	for name, again := range map[string]*httptest.ResponseRecorder{
		"opened again":     operator.open(link),
		"opened elsewhere": w.browser().open(link),
		"pressed again":    other.press(otherPage, accountConnectPath, nil),
		"came back late":   other.follow(other.open(late)),
	} {
		mustAnswer(t, again, http.StatusGone)
		if page := shows(again); !strings.Contains(page, "works only once") || !strings.Contains(page, "start again") {
			t.Errorf("%s:\n%s", name, page)
		}
	}
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-company-1" {
		t.Errorf("calls carry %q", got)
	}
	if err := w.broker.Disconnect(t.Context(), storage.SharedOwner, "notion"); err != nil {
		t.Fatal(err)
	}
	mustAnswer(t, operator.open(link), http.StatusGone)
	next := operator.open(operator.sharedLink("notion"))
	operator.follow(operator.open(agree(t, operator.press(next, accountConnectPath, nil), "next")))
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-next-2" {
		t.Errorf("after another link, calls carry %q", got)
	}
}

// A person's own link proves nothing, and so may be used again. But what began
// before there was a connection does not replace it.
func TestWalkOwnLinkAgain(t *testing.T) {
	p := newProvider(t)
	w := newWalkTo(t, upstreams(p)...)
	alice := w.browser()
	link := strings.TrimPrefix(w.as.Links.URL(storage.Identity{Subject: "user_id:alice"}, "notion"), "https://mcp.example.com")
	page := alice.follow(alice.press(alice.open(link), accountFormsPath+"user-id", url.Values{"user_id": {"alice"}}))
	first, second := alice.press(page, accountConnectPath, nil), alice.press(page, accountConnectPath, nil)
	mustAnswer(t, alice.follow(alice.open(agree(t, first, "first"))), http.StatusOK)
	mustAnswer(t, alice.open(link), http.StatusOK)
	late := alice.follow(alice.open(agree(t, second, "second")))
	if !strings.Contains(shows(late), "in another window meanwhile") {
		t.Errorf("page:\n%s", shows(late))
	}
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-first-1" {
		t.Errorf("calls carry %q", got)
	}
	again := alice.press(alice.open(accountPath), accountConnectPath, url.Values{"server": {"notion"}})
	mustAnswer(t, alice.follow(alice.open(agree(t, again, "third"))), http.StatusOK)
	if got := w.carries("user_id:alice", "notion"); got != "Bearer at-third-3" {
		t.Errorf("calls carry %q", got)
	}
}

// An operator who ends what they started ends it also for whoever has the link
// open, is at the provider, or has an answer that is being exchanged.
func TestWalkEndStarted(t *testing.T) {
	p := newProvider(t)
	servers := upstreams(p)[:1]
	servers[0].Auth.Mode = config.OAuth
	w := newWalkTo(t, servers...)
	end := func() {
		t.Helper()
		if _, err := w.broker.EndStarted(t.Context(), "notion"); err != nil && !errors.Is(err, accounts.ErrUnknownConnection) {
			t.Error(err)
		}
	}
	for when, finish := range map[string]func(b *browser, page *httptest.ResponseRecorder) *httptest.ResponseRecorder{
		"on the page": func(b *browser, page *httptest.ResponseRecorder) *httptest.ResponseRecorder {
			end()
			return b.press(page, accountConnectPath, nil)
		},
		"at the provider": func(b *browser, page *httptest.ResponseRecorder) *httptest.ResponseRecorder {
			answer := agree(t, b.press(page, accountConnectPath, nil), "late")
			end()
			return b.open(answer)
		},
		"at the token endpoint": func(b *browser, page *httptest.ResponseRecorder) *httptest.ResponseRecorder {
			answer := agree(t, b.press(page, accountConnectPath, nil), "late")
			p.Arrived = func(url.Values) { end() }
			defer func() { p.Arrived = nil }()
			return b.follow(b.open(answer))
		},
	} {
		t.Run(when, func(t *testing.T) {
			b := w.browser()
			link := b.sharedLink("notion")
			res := finish(b, b.open(link))
			if res.Code < 400 {
				t.Errorf("%d:\n%s", res.Code, shows(res))
			}
			mustAnswer(t, b.open(link), http.StatusGone)
			if _, err := w.broker.Credential(t.Context(), storage.SharedOwner, "notion"); !errors.Is(err, accounts.ErrNotConnected) {
				t.Errorf("the credential: %v", err)
			}
		})
	}
}
