package consent

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
)

func TestSignInForms_I11_I16(t *testing.T) {
	bob := userIdentity("bob")
	tests := map[string]struct {
		form     string
		more     []string
		location string
		subject  string
		status   int
	}{
		"key":             {"vk", []string{"vk", testKey}, "/oauth/account", "virtual_key:team-a", 303},
		"wrong key":       {"vk", []string{"vk", "guess"}, "/oauth/account?error=key", "", 303},
		"user id":         {"user-id", []string{"user_id", "alice"}, "/oauth/account", "user_id:alice", 303},
		"caddy":           {"caddy", []string{"identity", identity.FormValue(bob)}, "/oauth/account", bob.Subject, 303},
		"caddy, unseen":   {"caddy", nil, "/oauth/account?error=other_user", "", 303},
		"to a link":       {"user-id", []string{"user_id", "alice", "ticket", "ticket"}, "/oauth/connect/ticket", "user_id:alice", 303},
		"wrong, to it":    {"vk", []string{"vk", "guess", "ticket", "ticket"}, "/oauth/connect/ticket?error=key", "", 303},
		"to elsewhere":    {"user-id", []string{"user_id", "alice", "ticket", "/evil.example"}, "", "", 400},
		"no ticket of us": {"user-id", []string{"user_id", "alice", "ticket", "../../evil"}, "", "", 400},
		"return_to":       {"user-id", []string{"user_id", "alice", "return_to", "//evil.example"}, "/oauth/account", "user_id:alice", 303},
		"as nobody":       {"skip", nil, "", "", 404},
		"no token":        {"user-id", []string{"user_id", "alice", "csrf_token", ""}, "", "", 403},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := linked(t, "notion", nil)
			s.user = "bob"
			w := s.act(accountFormsPath+tt.form, tt.more...)
			if w.Code != tt.status || w.Header().Get("Location") != tt.location {
				t.Errorf("status = %d, Location = %q", w.Code, w.Header().Get("Location"))
			}
			subject := ""
			if who := s.person(); who != nil {
				subject = who.Subject
			}
			if subject != tt.subject {
				t.Errorf("signed in as %q, want %q", subject, tt.subject)
			}
		})
	}
}

func TestSignInPage(t *testing.T) {
	s := newSiteWith(t, newFakeBroker())
	w := s.get(accountPath)
	page := w.Body.String()
	for want, on := range map[string]bool{
		`action="/oauth/account/vk"`: true, `action="/oauth/account/user-id"`: true, "Continue without signing in": false,
		"skip": false, "Sign in, then come back to this page.": true, "Your account": false,
	} {
		if strings.Contains(page, want) != on {
			t.Errorf("%q on the page: %v", want, !on)
		}
	}
	if strings.Contains(page, "no accounts") {
		t.Error("says that nobody can sign in")
	}
	s.exhausted()
	if w := s.act(accountFormsPath+"vk", "vk", "guess"); w.Code != http.StatusTooManyRequests || s.person() != nil {
		t.Errorf("too many wrong keys: %d", w.Code)
	}
	if w := s.act(accountFormsPath+"user-id", "user_id", "alice"); w.Code != http.StatusTooManyRequests || s.person() != nil {
		t.Errorf("too many sign-ins: %d", w.Code)
	}
	s.as.Config().SignIn = identity.Methods{identity.ByVirtualKey(nil)}
	if w := s.act(accountFormsPath+"user-id", "user_id", "alice"); w.Code != http.StatusForbidden || s.person() != nil {
		t.Errorf("a way that is not offered: %d", w.Code)
	}
	s.as.Config().SignIn = identity.Methods{identity.Anonymously()}
	if page := s.get(accountPath).Body.String(); !strings.Contains(page, "no accounts") || strings.Contains(page, "<form") {
		t.Errorf("a site without accounts:\n%s", page)
	}
}

// The browser of a user of Caddy's is theirs only while they are signed in there.
func TestCaddyUserSignedOutOfTheSite_I10(t *testing.T) {
	s := home(t, userIdentity("bob"))
	for user, in := range map[string]bool{"bob": true, "": false, "eve": false} {
		s.user = user
		if got := strings.Contains(s.get(accountPath).Body.String(), "Your account"); got != in {
			t.Errorf("as %q: signed in %v", user, got)
		}
		w := s.act(disconnectPath, "server", "notion")
		if (w.Code == http.StatusSeeOther) != in {
			t.Errorf("as %q: %d", user, w.Code)
		}
	}
}

func TestSignOut_I15(t *testing.T) {
	s := home(t, alice())
	s.approved(letIn("g", alice()))
	if w := s.act(signOutPath); w.Header().Get("Location") != accountPath || s.person() != nil {
		t.Errorf("status = %d, person = %v", w.Code, s.person())
	}
	for _, path := range []string{revokeGrantPath, disconnectPath, accountConnectPath, accountKeyPath, signOutEverywherePath} {
		w := s.act(path, "server", "notion", "grant", "g")
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `href="/oauth/account"`) {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if s.broker.started != nil || len(s.grantsOf(alice())) != 1 {
		t.Error("a form of somebody who signed out had an effect")
	}
}
