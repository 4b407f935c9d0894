package oauthtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestBrowser(t *testing.T) {
	site, elsewhere := oauthtest.NewHost(t), oauthtest.NewHost(t)
	site.Page("/", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
		fmt.Fprint(w, `<form method="post" action="/a"><input type="hidden" name="csrf" value="&amp;1"><input name="name" value="x">
			<button name="do" value="a">First</button><button formaction="/b" name="do" value="b">Second</button></form>`)
	})
	site.Page("/a", oauthtest.Answer(http.StatusOK, "text/html", "<p>a"))
	site.Page("/b", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/there", http.StatusSeeOther)
	})
	elsewhere.Page("/there", oauthtest.Answer(http.StatusOK, "text/html", "<p>there"))

	b := oauthtest.NewBrowser(t)
	page := b.Open(t, site.URL+"/")
	if got := page.Hidden("/b").Encode(); got != "csrf=%261" {
		t.Errorf("hidden fields %s, want csrf=%%261", got)
	}
	b.Press(t, page, "First", nil).MustShow(t, "a")
	if r := site.Last(t); r.Form.Encode() != "csrf=%261&do=a&name=x" || r.Header.Get("Cookie") != "seen=1" || r.Header.Get("Sec-Fetch-Site") != "same-origin" {
		t.Errorf("the site got %s with %v, want the form of the first button, the cookie, same-origin", r.Form.Encode(), r.Header)
	}
	left := b.Submit(t, page, "/b", url.Values{"name": {"y"}})
	if got := site.Last(t).Form.Encode(); got != "csrf=%261&do=b&name=y" {
		t.Errorf("the site got %s, want csrf=%%261&do=b&name=y", got)
	}
	if left.Leaving == nil || left.Leaving.String() != elsewhere.URL+"/there" || elsewhere.Hits() != 0 {
		t.Errorf("the browser goes to %v after %d requests there, want %s after none", left.Leaving, elsewhere.Hits(), elsewhere.URL+"/there")
	}
	b.Follow(t, left).MustShow(t, "there")
	if got := elsewhere.Last(t).Header.Get("Sec-Fetch-Site"); got != "cross-site" {
		t.Errorf("Sec-Fetch-Site %q, want cross-site", got)
	}
	b.Follows = func(*url.URL) bool { return true }
	b.Submit(t, page, "/b", nil).MustShow(t, "there")
}
