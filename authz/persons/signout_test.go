package persons

import (
	"bytes"
	"context"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// hinted is somebody who came back with a hint, in a session at the provider.
func (s *site) hinted(name, hint, session string) storage.Identity {
	s.Helper()
	p := s.provider.signIn(name)
	p.SignOutHint, p.Session = hint, session
	id, err := s.Login(p).Keep(s.Context())
	s.must(err)
	return id
}

func (s *site) wantHint(id storage.Identity, want string) {
	s.Helper()
	if got := s.SignOutHint(s.Context(), id); got != want {
		s.Errorf("the hint of %s is %q, want %q", id.ProviderSession, got, want)
	}
}

func signsOut(m *identity.Method) {
	m.SignOut = func(string, string) (identity.SignOut, bool) { return identity.SignOut{}, true }
}

// What a login left to sign out with is kept sealed, only for who came from that
// session, and until they end.
func TestSignOutHint(t *testing.T) {
	run(t, func(s *site) {
		signsOut(&s.cfg.SignIn[2])
		one := s.hinted("alice", "hint 1", "s1")
		s.wantHint(one, "hint 1")
		stored, err := s.store.Person(t.Context(), issuer, one.Subject, time.Now())
		s.must(err)
		if stored.SignOut == nil || bytes.Contains(stored.SignOut.Secret, []byte("hint")) {
			t.Errorf("stored %q", stored.SignOut)
		}
		two := s.hinted("alice", "hint 2", "s2")
		s.wantHint(one, "") // the browser's session there is another one
		s.wantHint(two, "hint 2")
		s.hinted("alice", "", "s3")
		s.wantHint(two, "hint 2") // a login without one leaves it
		s.wantHint(storage.Identity{Kind: "user_id", Subject: two.Subject}, "")
		somebody := two
		somebody.Person = "another"
		s.wantHint(somebody, "")

		s.store.Fail("Person")
		s.wantHint(two, "")
		s.store.Fail("")
		s.logged(zapcore.ErrorLevel, "the store failed", 1)
		s.must(s.end(t.Context(), storage.PersonEnd{Subject: two.Subject, Session: "s2"}, event.Event{Reason: "test"}))
		s.wantHint(two, "")
		_, err = s.End(t.Context(), two.Subject)
		s.must(err)
		s.wantHint(s.hinted("alice", "", "s2"), "")
	})
}

// A renewal brings a newer one of the same session, and only of that.
func TestSignOutHintIsRenewed(t *testing.T) {
	run(t, func(s *site) {
		m := &s.cfg.SignIn[2]
		signsOut(m)
		renew := m.Renew
		m.Renew = func(ctx context.Context, was identity.Person) (identity.Person, error) {
			p, err := renew(ctx, was)
			p.SignOutHint, p.Session = "renewed", was.Session
			return p, err
		}
		id := s.hinted("alice", "first", "s1")
		s.renews(recheck)
		s.wantHint(id, "renewed")

		p := s.provider.signIn("alice")
		p.Secret, p.SignOutHint, p.Session = nil, "of another session", "s2"
		s.provider.good[p.Subject] = "secret 2"
		other, err := s.Login(p).Keep(t.Context())
		s.must(err)
		s.renews(recheck)
		s.wantHint(other, "of another session")
	})
}
