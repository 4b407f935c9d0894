package consent

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Allow in the history neither grants anything nor signs the browser in again.
func TestAllowAfterLeaving_I10(t *testing.T) {
	for what, leave := range map[string]func(b *browser){
		"the key was withdrawn":             func(b *browser) { b.reload(keyOfBob) },
		"the name was given to another":     func(b *browser) { b.reload(secondAlice, keyOfBob) },
		"signed out":                        (*browser).signOut,
		"signed out everywhere":             (*browser).signOutEverywhere,
		"signed out everywhere, in another": func(b *browser) { o := b.another(); o.account(oldKey); o.signOutEverywhere() },
		"somebody else signed in":           func(b *browser) { b.signInOver(bobKey) },
	} {
		t.Run(what, func(t *testing.T) {
			b := keyed(t, newProvider(t))
			b.account(oldKey)
			identityURL, page := b.identify(oldKey)
			page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "old")))
			leave(b)
			asked := b.press(page, submitPath, approveBoth)
			if what == "somebody else signed in" {
				mustAnswer(t, asked, http.StatusConflict)
			} else if to := asked.Header().Get("Location"); asked.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/oauth/consent?") {
				t.Fatalf("status %d, Location %q", asked.Code, to)
			}
			for _, grants := range []string{subjectAlice, "virtual_key:bob"} {
				if all, err := b.as.Grants.List(t.Context(), grants); err != nil || len(all) != 0 {
					t.Errorf("grants %+v, %v", all, err)
				}
			}
			if what != "somebody else signed in" && !strings.Contains(shows(b.open(accountPath)), "Sign in to see") {
				t.Error("the browser is signed in again")
			}
			if stale := b.open(strings.Replace(identityURL, "/oauth/consent?", "/oauth/consent/mcps?", 1)); stale.Code != http.StatusSeeOther && (what != "somebody else signed in" || strings.Contains(shows(stale), "alice")) {
				t.Errorf("the services page still shows something:\n%s", shows(stale))
			}
			// The request itself is still there, for whoever says who they are.
			next := bobKey
			if what == "the name was given to another" {
				next = newKey
			}
			page = b.identifyAt(identityURL, next)
			if strings.Contains(shows(page), ">Connected<") {
				t.Errorf("sees what another person connected:\n%s", shows(page))
			}
		})
	}
}

// A page that was shown to one holder of a name is no form of the next.
func TestPageOfAnotherKey_I10(t *testing.T) {
	b := keyed(t, newProvider(t))
	identityURL, page := b.identify(oldKey)
	b.reload(secondAlice, keyOfBob)
	b.identifyAt(identityURL, newKey)
	mustAnswer(t, b.press(page, submitPath, approveBoth), http.StatusConflict)
	mustAnswer(t, b.press(page, flowConnectPath, pressNotion), http.StatusConflict)
}

// A link is for the person it was made for, and not for the next of that name.
func TestLinkOfAnotherKey_K01(t *testing.T) {
	b := keyed(t, newProvider(t))
	link := strings.TrimPrefix(b.as.Links.URL(firstAlice.Identity(), "notion"), "https://mcp.example.com")
	b.account(oldKey)
	page := b.open(link)
	mustAnswer(t, page, http.StatusOK)
	b.reload(secondAlice, keyOfBob)
	mustAnswer(t, b.open(link), http.StatusForbidden)
	own := b.account(newKey)
	mustAnswer(t, b.open(link), http.StatusForbidden)
	ticket := hiddenFields(t, page, accountConnectPath).Get("ticket")
	mustAnswer(t, b.press(own, accountConnectPath, url.Values{"server": {"notion"}, "ticket": {ticket}}), http.StatusForbidden)
}

// Signing out in one browser leaves the flows of another alone.
func TestSignOutLeavesOtherBrowsersAlone(t *testing.T) {
	here := keyed(t, newProvider(t))
	there := here.another()
	_, page := there.identify(oldKey)
	here.account(oldKey)
	here.signOut()
	page = there.follow(there.open(agree(t, there.press(page, flowConnectPath, pressNotion), "alice's")))
	if got := answer(t, there.press(page, submitPath, approveBoth)); got.Get("code") == "" {
		t.Errorf("answer = %v", got)
	}
}

// Whoever has a connection can connect anew while letting a client in.
func TestConnectAnewInAFlow(t *testing.T) {
	b := keyed(t, newProvider(t))
	b.follow(b.open(agree(t, b.press(b.account(oldKey), accountConnectPath, url.Values{"server": {"notion"}}), "first")))
	if got := b.carries(subjectAlice, "notion"); got != "Bearer at-first-1" {
		t.Fatalf("calls carry %q", got)
	}
	_, page := b.identify(oldKey)
	page = b.follow(b.open(agree(t, b.press(page, flowConnectPath, pressNotion), "second")))
	if got := answer(t, b.press(page, submitPath, approveBoth)); got.Get("code") == "" {
		t.Fatalf("answer %v", got)
	}
	if got := b.carries(subjectAlice, "notion"); got != "Bearer at-second-2" {
		t.Errorf("calls carry %q", got)
	}
}
