package consent

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
)

// What a person once approved is never taken for an answer to the next request,
// whoever sends their browser here: the same client in the same browser gets a
// page, and no code but for a form of this very flow.
func TestWalkConsentIsNotRemembered_I07(t *testing.T) {
	for name, w := range map[string]*walk{
		"nothing to connect":   newWalk(t),
		"something to connect": newWalkTo(t, upstreams(newProvider(t))[1]),
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			b := w.browser()
			first := b.signIn("alice")
			if got := answer(t, b.press(first, submitPath, approveBoth)); got.Get("code") == "" {
				t.Fatalf("answer = %v", got)
			}
			nothing := func(what string, r *httptest.ResponseRecorder) *httptest.ResponseRecorder {
				t.Helper()
				if to := r.Header().Get("Location"); strings.Contains(to, "code=") || strings.HasPrefix(to, "cursor:") {
					t.Fatalf("%s leads to %s", what, to)
				}
				return r
			}

			silent := "&" + url.Values{"prompt": {"none"}, "max_age": {"99999"}}.Encode()
			for _, more := range []string{"", silent} {
				link := nothing("the link of the client", b.open(linkOfTheClient+more)).Header().Get("Location")
				if !strings.HasPrefix(link, server.ConsentPath+"?") {
					t.Fatalf("sent to %q", link)
				}
				to := nothing("the first page", b.open(link))
				page := nothing("the services page", b.follow(to))
				mustAnswer(t, page, http.StatusOK)
				if shown := shows(page); !strings.Contains(shown, "Continue as alice") || !strings.Contains(shown, "Not you?") || !strings.Contains(shown, "Deny") {
					t.Fatalf("nobody is asked:\n%s", shown)
				}
				mine, old := hiddenFields(t, page, submitPath), hiddenFields(t, first, submitPath)
				for what, form := range map[string]url.Values{
					"nothing but the flow":              {"flow_id": mine["flow_id"]},
					"the form that was approved before": old,
					"the token of before":               {"flow_id": mine["flow_id"], "csrf_token": old["csrf_token"], "identity": mine["identity"]},
					"the flow of before":                {"flow_id": old["flow_id"], "csrf_token": mine["csrf_token"], "identity": mine["identity"]},
					"nobody shown":                      {"flow_id": mine["flow_id"], "csrf_token": mine["csrf_token"]},
				} {
					maps.Copy(form, approveBoth)
					if got := nothing(what, b.post(submitPath, form)); got.Code < 400 {
						t.Errorf("%s: %d", what, got.Code)
					}
				}
				maps.Copy(mine, approveBoth)
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					if got := nothing(method, b.send(httptest.NewRequest(method, submitPath+"?"+mine.Encode(), nil))); got.Code < 400 {
						t.Errorf("%s: %d", method, got.Code)
					}
				}
				elsewhere := httptest.NewRequest(http.MethodPost, submitPath, strings.NewReader(mine.Encode()))
				elsewhere.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				elsewhere.Header.Set("Sec-Fetch-Site", "cross-site")
				mustAnswer(t, nothing("another site's page", b.send(elsewhere)), http.StatusForbidden)
				framed := httptest.NewRequest(http.MethodGet, to.Header().Get("Location"), nil)
				framed.Header.Set("Sec-Fetch-Dest", "iframe")
				mustAnswer(t, nothing("in a frame", b.send(framed)), http.StatusForbidden)
				if got := answer(t, b.press(page, submitPath, approveBoth)); got.Get("code") == "" {
					t.Errorf("answer to the form = %v", got)
				}
			}
		})
	}
}

// Whoever is signed in is offered to go on, and for no longer than that, in this
// browser alone. Nobody is signed in for longer by it.
func TestRemembered(t *testing.T) {
	b := keyed(t, newProvider(t)).walk.browser()
	b.account(oldKey)
	until := b.clock.Now().Add(sessions.Lifetime)
	cookie := maps.Clone(b.cookies)
	for range 2 {
		b.clock.Advance(14 * 24 * time.Hour)
		page := b.remembered("alice")
		if text := shows(page); !strings.Contains(text, "This browser stays signed in until "+date(until)) {
			t.Errorf("not until %s:\n%s", date(until), text)
		}
		if got := answer(t, b.press(page, submitPath, approveGithub)); got.Get("code") == "" {
			t.Fatalf("answer = %v", got)
		}
		if b.cookies["__Host-mcp_browser"] != cookie["__Host-mcp_browser"] {
			t.Error("the session began anew")
		}
	}
	mustAnswer(t, b.open(b.another().start()), http.StatusForbidden)
	b.clock.Advance(2*24*time.Hour + time.Second)
	mustAnswer(t, b.open(b.start()), http.StatusOK)
}

// Who denies, is denied; what they began is nobody else's.
func TestRememberedDenies_I20(t *testing.T) {
	b := keyed(t, newProvider(t))
	b.account(oldKey)
	page := b.remembered("alice")
	got := answer(t, b.press(page, submitPath, url.Values{"decision": {"deny"}}))
	if got.Get("error") != "access_denied" || got.Has("code") {
		t.Errorf("answer = %v", got)
	}
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusConflict)
}

// Each way in which somebody is not there any more ends what they could go on
// with, whether they had looked at the page, connected something, or were at a
// provider. Nobody else gets anything of it.
func TestRememberedUntilTheyLeave_I10(t *testing.T) {
	stages := map[string]func(b *browser) *httptest.ResponseRecorder{
		"looked": func(b *browser) *httptest.ResponseRecorder { return b.remembered("alice") },
		"looked in two tabs": func(b *browser) *httptest.ResponseRecorder {
			page := b.remembered("alice")
			b.remembered("alice")
			return page
		},
		"connected": func(b *browser) *httptest.ResponseRecorder {
			return b.follow(b.open(agree(b.t, b.press(b.remembered("alice"), flowConnectPath, pressNotion), "old")))
		},
	}
	for stage, begin := range stages {
		for what, leave := range map[string]func(b *browser){
			"the key was withdrawn":             func(b *browser) { b.reload(keyOfBob) },
			"the name was given to another":     func(b *browser) { b.reload(secondAlice, keyOfBob) },
			"signed out":                        (*browser).signOut,
			"signed out everywhere":             (*browser).signOutEverywhere,
			"signed out everywhere, in another": func(b *browser) { o := b.another(); o.account(oldKey); o.signOutEverywhere() },
			"somebody else signed in":           func(b *browser) { b.signInOver(bobKey) },
			"somebody else approved":            func(b *browser) { _, p := b.identify(bobKey); answer(b.t, b.press(p, submitPath, approveGithub)) },
			"the session ended": func(b *browser) {
				if err := b.store.DeleteBrowserSessions(b.t.Context(), b.as.Config().Issuer, subjectAlice); err != nil {
					b.t.Fatal(err)
				}
			},
		} {
			t.Run(stage+", "+what, func(t *testing.T) {
				b := keyed(t, newProvider(t))
				b.t = t
				b.account(oldKey)
				page := begin(b)
				before := hiddenFields(t, page, submitPath)
				leave(b)
				asked := b.post(submitPath, merged(before, approveBoth))
				if to := asked.Header().Get("Location"); asked.Code != http.StatusConflict && (asked.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/oauth/consent?")) {
					t.Fatalf("status %d, Location %q", asked.Code, to)
				}
				if all, err := b.as.Grants.List(t.Context(), subjectAlice); err != nil || len(all) != 0 {
					t.Errorf("grants %+v, %v", all, err)
				}
				again := b.open(withQuery(servicesPath, "flow_id", before.Get("flow_id")))
				if strings.Contains(shows(again), "alice") || strings.Contains(shows(again), ">Connected<") {
					t.Errorf("the page is still alice's:\n%s", shows(again))
				}
				connect := b.post(flowConnectPath, merged(before, pressNotion))
				if to := connect.Header().Get("Location"); connect.Code == http.StatusSeeOther && !strings.HasPrefix(to, "/oauth/consent") {
					t.Errorf("sent to connect: %q", to)
				}
			})
		}
	}
}

// approveGithub lets a client use a server that need not be connected.
var approveGithub = url.Values{"decision": {"approve"}, "resource": {"https://mcp.example.com/mcp/github"}}

func merged(forms ...url.Values) url.Values {
	all := url.Values{}
	for _, form := range forms {
		maps.Copy(all, form)
	}
	return all
}

// Whoever signs in anew goes on with the page that they had.
func TestRememberedSignsInAnew(t *testing.T) {
	b := keyed(t, newProvider(t))
	b.account(oldKey)
	page := b.follow(b.open(agree(t, b.press(b.remembered("alice"), flowConnectPath, pressNotion), "old")))
	_, other := b.identify(oldKey)
	answer(t, b.press(other, submitPath, approveGithub)) // the session is another from now on
	if got := answer(t, b.press(page, submitPath, approveBoth)); got.Get("code") == "" {
		t.Errorf("answer = %v", got)
	}
}

// The choices are one link away; the page says what becomes of whoever is signed
// in, and going on as somebody else makes the browser theirs.
func TestNotYou(t *testing.T) {
	b := keyed(t, newProvider(t))
	b.account(oldKey)
	identityURL := b.start()
	page := b.choose(identityURL)
	mustAnswer(t, page, http.StatusOK)
	for _, want := range []string{"This browser is signed in as alice until ", "this browser is theirs from then on", "Continue as alice", "Your key"} {
		if !strings.Contains(shows(page), want) {
			t.Errorf("no %q on:\n%s", want, shows(page))
		}
	}
	page = b.identifyAt(identityURL, bobKey)
	if text := shows(page); !strings.Contains(text, "bob") || strings.Contains(text, "alice") {
		t.Fatalf("page of bob:\n%s", text)
	}
	b.remembered("alice") // in another tab, nothing has changed yet
	if got := answer(t, b.press(page, submitPath, approveGithub)); got.Get("code") == "" {
		t.Fatalf("answer = %v", got)
	}
	b.remembered("bob")
}
