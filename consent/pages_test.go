package consent

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
)

// everyAnswer returns one of each kind of answer that a browser gets.
func everyAnswer(t *testing.T) map[string]*httptest.ResponseRecorder {
	t.Helper()
	busy := newSite(t)
	busy.store.Fail("Flow")
	done := newSite(t).identified(alice())
	page := newSite(t).identified(alice()).get("/oauth/consent/mcps?flow_id=sealed")
	c := connecting(t)
	sent := c.pressConnect("notion")
	bob := userIdentity("bob")
	return map[string]*httptest.ResponseRecorder{
		"identity page": newSite(t).get("/oauth/consent?flow_id=sealed"),
		"services page": page,
		"after a form":  newSite(t).post(userIDPath, "user_id", "alice"),
		"wrong key":     newSite(t).post(keyPath, "vk", "guess"),
		"to the client": done.post(submitPath, "decision", "approve", "resource", "https://mcp.example.com/mcp/notion", "identity", identity.FormValue(alice())),
		"to connect":    connecting(t).get("/oauth/consent/mcps?flow_id=sealed"),
		"key page":      connecting(t).get(keyPageURL),
		"to a provider": sent,
		"from it":       c.comesBack("state=state-1&code=c", sent.Result().Cookies()...),
		"not from it":   c.comesBack("state=state-1&code=c"),
		"sign-in page":  newSite(t).get(accountPath),
		"account page":  home(t, alice()).get(accountPath),
		"connect page":  linked(t, "notion", person(alice())).get(linkURL),
		"link of other": linked(t, "notion", &bob).get(linkURL),
		"signed out":    home(t, alice()).act(signOutPath),
		"error 400":     newSite(t).get("/oauth/consent?flow_id=other"),
		"error 405":     newSite(t).post("/oauth/consent"),
		"error 429":     newSite(t).exhausted().post(keyPath, "vk", "guess"),
		"error 503":     busy.get("/oauth/consent?flow_id=sealed"),
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

// What a link puts into the error parameter never shows.
func TestErrorParameterIsACode_I18(t *testing.T) {
	s := newSite(t).identified(alice())
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

func TestBrandShows(t *testing.T) {
	branded, err := pages.New(pages.Brand{Name: "Tom & Jerry", Accent: "#ffcc00", Logo: "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.pages.identity.pages = branded
	w := s.get("/oauth/consent?flow_id=sealed")
	page := w.Body.String()
	for _, want := range []string{"Tom &amp; Jerry", "--accent:#ffcc00;--on-accent:#000000", `src="data:image/gif;base64,`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "; img-src data:;") {
		t.Errorf("policy = %q", csp)
	}
}
