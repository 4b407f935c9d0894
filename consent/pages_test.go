package consent

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// everyAnswer returns one of each kind of answer that a browser gets.
func everyAnswer(t *testing.T) map[string]*httptest.ResponseRecorder {
	t.Helper()
	busy := newFake()
	busy.err = http.ErrServerClosed
	limited := newFake()
	limited.limited = true
	done := newSite(t, newFake()).identified(alice())
	page := newSite(t, newFake()).identified(alice()).get("/oauth/consent/mcps?flow_id=sealed")
	trip := connecting(t)
	departure := trip.pressConnect("notion")
	bob := userIdentity("bob")
	return map[string]*httptest.ResponseRecorder{
		"identity page": newSite(t, newFake()).get("/oauth/consent?flow_id=sealed"),
		"services page": page,
		"after a form":  newSite(t, newFake()).post(userIDPath, "user_id", "alice"),
		"wrong key":     newSite(t, newFake()).post(keyPath, "vk", "guess"),
		"to the client": done.post(submitPath, "decision", "approve", "resource", "x", "identity", digest(alice())),
		"to connect":    connecting(t).get("/oauth/consent/mcps?flow_id=sealed"),
		"key page":      connecting(t).get(keyPageURL),
		"to a provider": departure,
		"from it":       trip.comesBack("state=state-1&code=c", departure.Result().Cookies()...),
		"not from it":   trip.comesBack("state=state-1&code=c"),
		"sign-in page":  newSite(t, newFake()).get(AccountPath),
		"account page":  home(t, alice()).get(AccountPath),
		"connect page":  linked(t, "notion", person(alice())).get(linkURL),
		"link of other": linked(t, "notion", &bob).get(linkURL),
		"signed out":    home(t, alice()).act(signOutPath),
		"error 400":     newSite(t, newFake()).get("/oauth/consent?flow_id=other"),
		"error 405":     newSite(t, newFake()).post("/oauth/consent"),
		"error 429":     newSite(t, limited).post(keyPath, "vk", testKey),
		"error 503":     newSite(t, busy).get("/oauth/consent?flow_id=sealed"),
	}
}

func TestHeaders_A15_I06(t *testing.T) {
	golden := map[string]string{
		"X-Frame-Options":        "DENY",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "same-origin",
		"Cache-Control":          "no-store",
	}
	policy := regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; frame-ancestors 'none'; base-uri 'none'$`)
	for name, w := range everyAnswer(t) {
		t.Run(name, func(t *testing.T) {
			for header, want := range golden {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s = %q, want %q", header, got, want)
				}
			}
			if got := w.Header().Get("Content-Security-Policy"); !policy.MatchString(got) {
				t.Errorf("Content-Security-Policy = %q", got)
			}
			if w.Body.Len() > 0 && w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("Content-Type = %q", w.Header().Get("Content-Type"))
			}
		})
	}
}

// Every page is its own: nothing is loaded, run or linked from elsewhere.
func TestPagesAreSelfContained_A15_I17(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)<script|javascript:|<iframe|<object|<embed|<link|<base|\son[a-z]+\s*=|\sstyle\s*=|@import|url\(|(?:href|src|action)="(?:[a-z]+:|//)`)
	for name, w := range everyAnswer(t) {
		t.Run(name, func(t *testing.T) {
			if found := foreign.FindString(w.Body.String()); found != "" {
				t.Errorf("the page has %q", found)
			}
		})
	}
}

// The policy names the very bytes between the style tags, in any brand.
func TestStyleHash_I17(t *testing.T) {
	for name, brand := range map[string]Brand{
		"default": {},
		"branded": {Name: "</style><script>alert(1)</script>", Accent: "#FFcc00", Logo: onePixel},
	} {
		t.Run(name, func(t *testing.T) {
			pages, err := NewPages(brand)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			pages.Error(w, getRequest("/"), http.StatusBadRequest, "message", "id-1")
			_, rest, _ := strings.Cut(w.Body.String(), "<style>")
			style, _, found := strings.Cut(rest, "</style>")
			if !found {
				t.Fatal("no style")
			}
			sum := sha256.Sum256([]byte(style))
			hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, hash) {
				t.Errorf("policy %q lacks %s", csp, hash)
			}
			if strings.Contains(w.Body.String(), "<script") {
				t.Error("the name became an element")
			}
		})
	}
}

func TestErrorPage_I18(t *testing.T) {
	pages, err := NewPages(Brand{})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{400, 403, 404, 405, 409, 410, 413, 418, 429, 500, 503} {
		w := httptest.NewRecorder()
		pages.Error(w, getRequest("/"), status, `<svg onload="x">`, "id-1")
		page := w.Body.String()
		if w.Code != status {
			t.Errorf("status = %d, want %d", w.Code, status)
		}
		if strings.Contains(page, "<svg") || !strings.Contains(page, html.EscapeString(`<svg onload="x">`)) {
			t.Errorf("%d: the message is not shown as text", status)
		}
		if !strings.Contains(page, "<code>id-1</code>") {
			t.Errorf("%d: no correlation id", status)
		}
		if strings.Contains(page, "<h1></h1>") || strings.Contains(page, "<p></p>") {
			t.Errorf("%d: no words for it", status)
		}
		if retry := w.Header().Get("Retry-After"); (retry != "") != (status == 429 || status == 503) {
			t.Errorf("%d: Retry-After = %q", status, retry)
		}
	}
}

// What a link puts into the error parameter never shows.
func TestErrorParameterIsACode_I18(t *testing.T) {
	s := newSite(t, newFake()).identified(alice())
	for _, path := range []string{"/oauth/consent", "/oauth/consent/mcps"} {
		plain := s.get(path + "?flow_id=sealed").Body.String()
		for _, text := range []string{"Call+us+on+555", "%3Csvg+onload%3Dx%3E", "KEY", ""} {
			if s.get(path+"?flow_id=sealed&error="+text).Body.String() != plain {
				t.Errorf("%s: error=%s changes the page", path, text)
			}
		}
		if s.get(path+"?flow_id=sealed&error=no_server").Body.String() == plain {
			t.Errorf("%s: a code shows nothing", path)
		}
	}
}
