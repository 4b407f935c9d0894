package consent

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// browser is one person's: it has the cookies it was given.
type browser struct {
	*walk
	cookies map[string]string
	user    string // whom another handler authenticated

	identity string // the address of its identity page
}

func (w *walk) browser() *browser { return &browser{walk: w, cookies: map[string]string{}} }

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	// As documented, the other handler is in front of the pages alone.
	if b.user != "" && !strings.HasPrefix(r.URL.Path, config.SharedCallbackPath) {
		r = r.WithContext(identity.WithUser(r.Context(), b.user))
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	return w
}

func (b *browser) open(target string) *httptest.ResponseRecorder {
	return b.send(httptest.NewRequest(http.MethodGet, target, nil))
}

var linkOfTheClient = server.AuthorizePath + "?" + url.Values{
	"response_type": {"code"}, "client_id": {"editor"}, "state": {"a b&c"},
	"redirect_uri":   {"cursor://anysphere.cursor-mcp/oauth/callback"},
	"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
}.Encode()

// start opens the link of a client and returns the address of the identity page.
func (b *browser) start() string {
	b.t.Helper()
	w := b.open(linkOfTheClient)
	if w.Code != http.StatusFound {
		b.t.Fatalf("authorize: %d\n%s", w.Code, shows(w))
	}
	return w.Header().Get("Location")
}

// press sends the form at path on a page, with further values.
func (b *browser) press(page *httptest.ResponseRecorder, path string, more url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	values := hiddenFields(b.t, page, path)
	if values == nil {
		b.t.Fatalf("no form for %s on\n%s", path, shows(page))
	}
	maps.Copy(values, more)
	return b.post(path, values)
}

// post sends a form as a page of ours does.
func (b *browser) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

// hiddenFields are those of the form for a path on a page, nil if there is none.
func hiddenFields(t *testing.T, page *httptest.ResponseRecorder, path string) url.Values {
	t.Helper()
	return oauthtest.ReadPage(t, &url.URL{}, page.Body.String()).Hidden(path)
}

// choose opens the identity page as somebody who may be known already.
func (b *browser) choose(identityURL string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.open(withMore(identityURL, "choose", "1"))
}

// remembered goes from the client's link to the page for somebody who need not
// sign in again.
func (b *browser) remembered(name string) *httptest.ResponseRecorder {
	b.t.Helper()
	page := b.follow(b.open(b.start()))
	if !strings.Contains(shows(page), "Continue as "+name) {
		b.t.Fatalf("%s is not known:\n%s", name, shows(page))
	}
	return page
}

// signIn goes from the client's link to the services page, as user.
func (b *browser) signIn(user string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.press(b.choose(b.start()), userIDPath, url.Values{"user_id": {user}})
	if w.Code != http.StatusSeeOther {
		b.t.Fatalf("identity: %d\n%s", w.Code, shows(w))
	}
	return b.open(w.Header().Get("Location"))
}

// shows returns what a page shows below its header.
func shows(w *httptest.ResponseRecorder) string {
	_, page, _ := strings.Cut(w.Body.String(), "<main>")
	return page
}

func mustAnswer(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status = %d, want %d\n%s", w.Code, status, shows(w))
	}
}

// answer returns what the client is told.
func answer(t *testing.T, w *httptest.ResponseRecorder) url.Values {
	t.Helper()
	mustAnswer(t, w, http.StatusSeeOther)
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || u.Scheme != "cursor" {
		t.Fatalf("Location = %q, %v", w.Header().Get("Location"), err)
	}
	return u.Query()
}
