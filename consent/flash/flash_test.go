package flash

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// next returns a request of a browser that was given what w says.
func next(w *httptest.ResponseRecorder) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge >= 0 {
			r.AddCookie(c)
		}
	}
	return r
}

func TestMessageIsShownOnce(t *testing.T) {
	for issuer, name := range map[string]string{
		"https://mcp.example.com": "__Host-mcp_done_account",
		"http://localhost:8080":   "mcp_done_account",
	} {
		c := CookieOf(issuer, "account")
		for _, want := range []Message{{"revoked", "Cursor “x”; y=z"}, {"signed_out", ""}} {
			set := httptest.NewRecorder()
			c.Set(set, want)
			cookie := set.Result().Cookies()[0]
			if cookie.Name != name || !cookie.HttpOnly || cookie.Secure != strings.HasPrefix(issuer, "https") ||
				cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
				t.Errorf("%s: cookie %s", issuer, cookie)
			}
			shown := httptest.NewRecorder()
			if got := c.Take(shown, next(set)); got != want {
				t.Errorf("%s: got %+v, want %+v", issuer, got, want)
			}
			if taken := shown.Result().Cookies(); len(taken) != 1 || taken[0].MaxAge >= 0 || taken[0].Name != name {
				t.Errorf("%s: the cookie stays: %v", issuer, taken)
			}
		}
		if w := httptest.NewRecorder(); c.Take(w, next(httptest.NewRecorder())) != (Message{}) || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: without a message, cookies %v are set", issuer, w.Result().Cookies())
		}
	}
}

// What is no message of ours is none.
func TestDamagedMessage(t *testing.T) {
	c := CookieOf("http://localhost", "account")
	for _, value := range []string{"", "revoked.%", "revoked.gA", "revoked." + strings.Repeat("YWFh", 100)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", "mcp_done_account="+value)
		if got := c.Take(httptest.NewRecorder(), r); got != (Message{}) {
			t.Errorf("%q: got %+v, want none", value, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", "mcp_done_account=a.; mcp_done_account=b.")
	if got := c.Take(httptest.NewRecorder(), r); got != (Message{}) {
		t.Errorf("two cookies: got %+v, want none", got)
	}
	long := httptest.NewRecorder()
	c.Set(long, Message{"revoked", strings.Repeat("é", 300)})
	if got := c.Take(httptest.NewRecorder(), next(long)).About; got != strings.Repeat("é", 128) {
		t.Errorf("a long name became %q", got)
	}
}
