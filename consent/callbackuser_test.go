package consent

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Where another handler signs people in, it says who is there when they come
// back, though it is not in front of the callback.
func TestUserOfCaddyWhoLeft_I10(t *testing.T) {
	start := map[string]func(*browser) *httptest.ResponseRecorder{
		"account page": func(b *browser) *httptest.ResponseRecorder {
			page := b.follow(b.press(b.open(accountPath), accountFormsPath+"caddy", nil))
			return b.press(page, accountConnectPath, url.Values{"server": {"notion"}})
		},
		"flow": func(b *browser) *httptest.ResponseRecorder {
			page := b.follow(b.press(b.open(b.start()), caddyPath, nil))
			return b.press(page, flowConnectPath, pressNotion)
		},
	}
	for how, begin := range start {
		for _, user := range []string{"alice", "bob", ""} {
			t.Run(how+", then "+user, func(t *testing.T) {
				p := newProvider(t)
				b := keyed(t, p)
				b.user = "alice"
				back := agree(t, begin(b), "alice's")
				b.user = user
				page := b.open(back)
				if to := page.Header().Get("Location"); !strings.HasPrefix(to, answerPath) || strings.Contains(to, codeIn(t, back)) || exchanged(p) != 0 {
					t.Fatalf("the callback sends the browser to %q", to)
				}
				for page.Code == http.StatusSeeOther {
					page = b.follow(page)
				}
				if user == "alice" {
					if !strings.Contains(shows(page), ">Connected<") {
						t.Errorf("not connected:\n%s", shows(page))
					}
					return
				}
				if !strings.Contains(shows(page), "So nothing was connected") {
					t.Errorf("the person is not told:\n%s", shows(page))
				}
				b.wantNothing(p)
			})
		}
	}
}

// What was passed on to a page works once, in one browser, and not when it was
// made up.
func TestAnswerOnAPage_I02(t *testing.T) {
	p := newProvider(t)
	b := keyed(t, p)
	b.user = "alice"
	page := b.follow(b.press(b.open(accountPath), accountFormsPath+"caddy", nil))
	back := agree(t, b.press(page, accountConnectPath, url.Values{"server": {"notion"}}), "alice's")
	to := b.open(back).Header().Get("Location")
	eve := b.another()
	eve.user = "alice"
	mustAnswer(t, eve.open(to), http.StatusForbidden)
	for _, made := range []string{answerPath, answerPath + "?code=", answerPath + "?code=abc", answerPath + "?state=x&code=alice", to + "x", to + "&code=y"} {
		mustAnswer(t, b.open(made), http.StatusBadRequest)
	}
	if exchanged(p) != 0 {
		t.Fatal("the code was used")
	}
	mustAnswer(t, b.open(to), http.StatusSeeOther)
	mustAnswer(t, b.open(to), http.StatusForbidden)
	if exchanged(p) != 1 {
		t.Errorf("%d codes were used", exchanged(p))
	}
}
