package persons

import (
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// J10: a logout at the provider ends what it is about, once.
func TestLoggedOut_J10(t *testing.T) {
	const sub, sid = company + ":alice", "session of alice"
	for name, tt := range map[string]struct {
		logout identity.Logout
		ends   bool
		person bool // stays
	}{
		"sub":               {identity.Logout{Subject: sub}, true, false},
		"sub and sid":       {identity.Logout{Subject: sub, Session: sid}, true, true},
		"sid":               {identity.Logout{Session: sid}, true, true},
		"another sub":       {identity.Logout{Subject: company + ":bob"}, false, true},
		"another sid":       {identity.Logout{Subject: sub, Session: "another"}, false, true},
		"a sid of nobody":   {identity.Logout{Session: "another"}, false, true},
		"the sid of bob":    {identity.Logout{Session: "session of bob"}, false, true},
		"sub, sid of bob's": {identity.Logout{Subject: sub, Session: "session of bob"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(s *site) {
				s.signIn("alice")
				s.signIn("bob")
				tt.logout.ID, tt.logout.ExpiresAt = "jti", time.Now().Add(time.Minute)
				m := s.cfg.SignIn.Of(company)
				for _, verb := range []string{"Used", "SiteValue", "EndPerson", "UseOnce"} {
					if verb == "SiteValue" && tt.logout.Subject != "" || verb == "EndPerson" && name == "a sid of nobody" {
						continue
					}
					s.store.Fail(verb)
					if err := s.LoggedOut(t.Context(), m, tt.logout); oauth.AsError(err).Status != 503 {
						t.Errorf("%s failed: %v", verb, err)
					}
					s.store.Fail("")
				}
				s.must(s.LoggedOut(t.Context(), m, tt.logout))
				s.signedIn("alice", !tt.ends)
				_, err := s.store.Person(t.Context(), issuer, sub, time.Now())
				if got := err == nil; got != tt.person {
					t.Errorf("the person stays: %t, want %t", got, tt.person)
				}
				again := s.provider.signIn("alice")
				again.Session = "a later one"
				s.has("alice again", again)
				if err := s.LoggedOut(t.Context(), m, tt.logout); oauth.AsError(err).Code != "invalid_request" || oauth.AsError(err).Status != 400 {
					t.Errorf("the same token again: %v", err)
				}
				s.signedIn("alice again", true)
			})
		})
	}
}

// A login in a session that ended while the person came back fails.
func TestLoggedOutWhileSigningIn_J10(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		late := s.provider.signIn("alice")
		late.Session = "another session"
		m := s.cfg.SignIn.Of(company)
		s.must(s.LoggedOut(t.Context(), m, identity.Logout{Subject: late.Subject, Session: late.Session, ID: "jti", ExpiresAt: time.Now().Add(time.Minute)}))
		if _, err := s.Login(late).Keep(t.Context()); !errors.Is(err, identity.ErrLoginEnded) {
			t.Errorf("got %v", err)
		}
		s.signedIn("alice", true)
	})
}
