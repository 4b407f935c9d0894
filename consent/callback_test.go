package consent

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// comesBack comes back from the provider in a browser with the cookies.
func (s *site) comesBack(query string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/api/oauth/callback/notion?"+query, nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return s.do(r)
}

func TestCallback_D20_CL22(t *testing.T) {
	s := connecting(t)
	cookie := s.pressConnect("notion").Result().Cookies()[0]
	w := s.comesBack("state=state-1&code=secret-code&iss=https%3A%2F%2Fprovider.example", cookie)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != s.written(s.broker.started.ReturnTo) {
		t.Fatalf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
	}
	want := accounts.Answer{State: "state-1", Code: "secret-code", Iss: "https://provider.example", Path: "/api/oauth/callback/notion", Browser: s.broker.started.Browser}
	got := s.broker.answers[0]
	got.Present = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("answer = %+v, want %+v", got, want)
	}
	if back := w.Result().Cookies(); len(back) != 1 || back[0].Name != cookie.Name || back[0].MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", back)
	}
	if page := s.get(w.Header().Get("Location")).Body.String(); !strings.Contains(page, "Connect Notion again") {
		t.Errorf("the page does not show the connection:\n%s", page)
	}
}

func TestCallbackInAnotherBrowser_I02_I12(t *testing.T) {
	s := connecting(t)
	mine := s.pressConnect("notion").Result().Cookies()[0]
	c := *s.broker.started
	for name, cookies := range map[string][]*http.Cookie{
		"no cookie":         nil,
		"of another person": {{Name: mine.Name, Value: "another"}},
		"two":               {mine, mine},
		"the flow's":        {{Name: "flow", Value: "browser-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.comesBack("state=state-1&code=c", cookies...)
			if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "another browser") {
				t.Errorf("status = %d\n%s", w.Code, shows(w))
			}
			if len(s.broker.connections) > 0 {
				t.Error("connected")
			}
		})
	}
	if w := s.comesBack("state=state-1&code=c", mine); w.Header().Get("Location") != s.written(c.ReturnTo) {
		t.Errorf("the right browser: %d", w.Code)
	}
}

func TestCallbackMalformed(t *testing.T) {
	s := connecting(t)
	cookie := s.pressConnect("notion").Result().Cookies()[0]
	for name, query := range map[string]string{
		"nothing": "", "no state": "code=c", "state twice": "state=state-1&state=state-1&code=c", "not a query": "state=state-1&code=%zz",
	} {
		t.Run(name, func(t *testing.T) {
			if w := s.comesBack(query, cookie); w.Code != http.StatusBadRequest {
				t.Errorf("status = %d", w.Code)
			}
		})
	}
	for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut} {
		r := httptest.NewRequest(method, "/api/oauth/callback?state=state-1&code=c", nil)
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		if w := s.do(r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodGet {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if len(s.broker.answers) > 0 {
		t.Errorf("answers = %v", s.broker.answers)
	}
	if w := s.comesBack("state=unknown&code=c"); w.Code != http.StatusForbidden {
		t.Errorf("unknown state: %d", w.Code)
	}
}

// What a provider says is never shown: each problem has our own words, the
// reference finds the cause in the log, and the person can try again.
func TestProblemsInWords_I18_K19(t *testing.T) {
	for _, p := range []client.Problem{
		accounts.UnknownServer, accounts.RequestEnded, client.NotThatProvider, client.Declined, client.ProviderRefused,
		client.ProviderDown, client.ProviderUnusable, client.Unsupported, client.NotRegistered, accounts.WrongKey,
	} {
		t.Run(string(p), func(t *testing.T) {
			s := connecting(t)
			cookie := s.pressConnect("notion").Result().Cookies()[0]
			s.broker.err = &client.Error{Problem: p, Cause: errors.New("cause-1")}
			back := s.comesBack("state=state-1&error=x&error_description=%3Csvg+onload%3D1%3E", cookie)
			begun := s.pressConnect("notion")
			for _, w := range []*httptest.ResponseRecorder{back, begun} {
				u, err := url.Parse(w.Header().Get("Location"))
				if w.Code != http.StatusSeeOther || err != nil || u.Path != servicesPath {
					t.Fatalf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
				}
				page := s.get(u.String()).Body.String()
				if !strings.Contains(page, "<strong>Notion:</strong> "+strings.Split(pages.English.Refused[string(p)], ".")[0]) {
					t.Errorf("not told:\n%s", page)
				}
				id := u.Query().Get("ref")
				if !strings.Contains(page, "<code>"+id+"</code>") || s.logged(id) != "cause-1" {
					t.Errorf("reference %q is not on the page, or not in the log: %v", id, s.logs.All())
				}
				for _, secret := range []string{"cause-1", "svg"} {
					if strings.Contains(page, secret) || strings.Contains(u.String(), secret) {
						t.Errorf("%q is shown", secret)
					}
				}
				if !strings.Contains(page, "Connect Notion<") {
					t.Error("cannot be tried again")
				}
			}
		})
	}
}

func TestStoreDownOnTheWay(t *testing.T) {
	s := connecting(t)
	cookie := s.pressConnect("notion").Result().Cookies()[0]
	s.broker.err = storage.ErrClosed
	back := s.comesBack("state=state-1&code=c", cookie)
	for _, c := range back.Result().Cookies() {
		if c.Name == cookie.Name {
			t.Errorf("the browser loses %v, without which the page cannot be loaded again", c)
		}
	}
	for _, w := range []*httptest.ResponseRecorder{back, s.pressConnect("notion")} {
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Go back") {
			t.Errorf("status = %d\n%s", w.Code, shows(w))
		}
	}
}

// A link cannot put words, or a reference that is none, on a page.
func TestNoticeIsOurs_I18(t *testing.T) {
	s := connecting(t)
	for _, query := range []string{"&error=call+0900&server=notion", "&error=declined&server=%3Cb%3E&ref=%3Cb%3E", "&error=declined&ref=call-0900"} {
		page := s.get(servicesURL + query).Body.String()
		if strings.Contains(page, "0900") || strings.Contains(page, "<b>") || strings.Contains(page, "Error reference") {
			t.Errorf("%s is on the page", query)
		}
	}
}
