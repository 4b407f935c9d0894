package consent

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

var approveBoth = url.Values{"decision": {"approve"}, "resource": {
	"https://mcp.example.com/mcp/notion", "https://mcp.example.com/mcp/github"}}

func TestWalkToTheClient_I09(t *testing.T) {
	b := newWalk(t).browser()
	page := b.signIn("alice")
	first := answer(t, b.press(page, submitPath, approveBoth))
	if first.Get("code") == "" || first.Get("state") != "a b&c" || first.Get("iss") != "https://mcp.example.com" {
		t.Errorf("answer = %v", first)
	}
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusConflict)
	mustAnswer(t, b.press(page, submitPath, url.Values{"decision": {"deny"}}), http.StatusConflict)
}

func TestWalkDenied_I20(t *testing.T) {
	b := newWalk(t).browser()
	page := b.signIn("alice")
	got := answer(t, b.press(page, submitPath, url.Values{"decision": {"deny"}}))
	if got.Get("error") != "access_denied" || got.Get("state") != "a b&c" || got.Get("iss") != "https://mcp.example.com" || got.Has("code") {
		t.Errorf("answer = %v", got)
	}
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusConflict)
}

func TestWalkInAnotherBrowser_I04(t *testing.T) {
	w := newWalk(t)
	alice, eve := w.browser(), w.browser()
	page := alice.signIn("alice")
	eve.start()
	mustAnswer(t, eve.press(page, submitPath, approveBoth), http.StatusForbidden)
	answer(t, alice.press(page, submitPath, approveBoth))
}

// The token of one flow is worthless in another of the same browser.
func TestWalkTokenOfAnotherFlow_I04(t *testing.T) {
	b := newWalk(t).browser()
	other := b.signIn("mallory")
	token := regexp.MustCompile(`name="csrf_token" value="([^"]+)"`).FindStringSubmatch(other.Body.String())[1]
	page := b.signIn("alice")
	forged := maps.Clone(approveBoth)
	forged.Set("csrf_token", token)
	mustAnswer(t, b.press(page, submitPath, forged), http.StatusForbidden)
	answer(t, b.press(page, submitPath, approveBoth))
}

func TestWalkDoubleCookie_I12(t *testing.T) {
	b := newWalk(t).browser()
	identityPage := b.start()
	r := httptest.NewRequest(http.MethodGet, identityPage, nil)
	for name := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: "planted"})
	}
	mustAnswer(t, b.send(r), http.StatusForbidden)
	mustAnswer(t, b.open(identityPage), http.StatusOK)
}

func TestWalkExpires(t *testing.T) {
	b := newWalk(t).browser()
	page := b.signIn("alice")
	b.clock.Advance(time.Duration(config.DefaultLifetimes.FlowLifetime) + time.Second)
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusGone)
}

func TestWalkIdentityChangedInAnotherTab_I10(t *testing.T) {
	b := newWalk(t).browser()
	identityURL := b.start()
	identityPage := b.open(identityURL)
	toServices := b.press(identityPage, userIDPath, url.Values{"user_id": {"alice"}}).Header().Get("Location")
	page := b.open(toServices)
	mustAnswer(t, b.press(identityPage, userIDPath, url.Values{"user_id": {"bob"}}), http.StatusSeeOther)
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusConflict)

	again := b.open(toServices)
	if !strings.Contains(again.Body.String(), "<strong>bob</strong>") {
		t.Error("the page does not show who it is for now")
	}
	answer(t, b.press(again, submitPath, approveBoth))
}

// A virtual key opens the servers it was made for, on the page and behind it.
func TestWalkWithKey(t *testing.T) {
	b := newWalk(t).browser()
	identityURL := b.start()
	wrong := b.press(b.open(identityURL), keyPath, url.Values{"vk": {"guess"}})
	mustAnswer(t, wrong, http.StatusSeeOther)
	if !strings.Contains(wrong.Header().Get("Location"), "error=key") {
		t.Errorf("Location = %q", wrong.Header().Get("Location"))
	}
	w := b.press(b.open(wrong.Header().Get("Location")), keyPath, url.Values{"vk": {testKey}})
	page := b.open(w.Header().Get("Location"))
	if strings.Contains(page.Body.String(), "Notion") || !strings.Contains(page.Body.String(), "github") {
		t.Errorf("servers of the key:\n%s", shows(page))
	}
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusBadRequest)
	if got := answer(t, b.press(page, submitPath, url.Values{"decision": {"approve"}})); got.Get("code") == "" {
		t.Errorf("answer = %v", got)
	}
}

func TestWalkWrongKeysAreLimited(t *testing.T) {
	b := newWalk(t).browser()
	page := b.open(b.start())
	for range 10 {
		mustAnswer(t, b.press(page, keyPath, url.Values{"vk": {"guess"}}), http.StatusSeeOther)
	}
	mustAnswer(t, b.press(page, keyPath, url.Values{"vk": {"guess"}}), http.StatusTooManyRequests)
	w := b.press(page, keyPath, url.Values{"vk": {testKey}})
	mustAnswer(t, w, http.StatusSeeOther)
	if strings.Contains(w.Header().Get("Location"), "error=") {
		t.Errorf("the right key is refused: %q", w.Header().Get("Location"))
	}
}
