package persons

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const ended = "what a person had was ended"

// What else a leaver has is told of their end, before it, and only where they may not
// come back: neither when they end everything themselves, nor with one session.
func TestTellsOfLeavers(t *testing.T) {
	run(t, func(s *site) {
		var left []string
		s.deps.Left = func(_ context.Context, subject string) error {
			if _, err := s.deps.Store.Person(t.Context(), issuer, subject, time.Now()); err != nil {
				t.Errorf("%s has ended already: %v", subject, err)
			}
			left = append(left, subject)
			return nil
		}
		for _, name := range []string{"alice", "bob", "carol"} {
			s.signIn(name)
		}
		s.must(s.LoggedOut(t.Context(), s.cfg.SignIn.Of(company), identity.Logout{Session: "session of carol", ID: "1", ExpiresAt: time.Now().Add(time.Minute)}))
		if _, err := s.End(t.Context(), company+":carol"); err != nil {
			t.Fatal(err)
		}
		s.provider.good[company+":bob"] = "another"
		time.Sleep(recheck)
		s.must(s.RenewDue(t.Context()))
		if want := []string{company + ":bob"}; !slices.Equal(left, want) {
			t.Errorf("told of %q, want %q", left, want)
		}
		s.deps.Left = func(context.Context, string) error { return storetest.ErrDisk }
		s.provider.good[company+":alice"] = "another"
		time.Sleep(recheck)
		if err := s.RenewDue(t.Context()); !errors.Is(err, storetest.ErrDisk) {
			t.Errorf("got %v, want %v", err, storetest.ErrDisk)
		}
		if _, err := s.deps.Store.Person(t.Context(), issuer, company+":alice", time.Now()); err != nil {
			t.Errorf("ended although it could not be told: %v", err)
		}
	})
}

// J10: whoever is removed at the provider is out within the recheck time, and
// nobody else.
func TestRemovedAtTheProvider_J10(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.signIn("bob")
		for range 20 {
			if got := s.renews(recheck); len(got) < 2 {
				t.Fatalf("asked about %v within the recheck time", got)
			}
		}
		s.signedIn("alice", true)
		s.verified("alice", nil)
		delete(s.provider.good, company+":bob")
		s.renews(recheck)
		s.signedIn("alice", true)
		s.signedIn("bob", false)
		s.logged(zap.InfoLevel, ended, 1)
		line := s.logs.FilterMessage(ended).All()[0].ContextMap()
		if line["person"] != company+":bob" || line["reason"] != "refused_by_provider" || line["by"] != "provider" || line["count"] != int64(1) && line["count"] != 1 {
			t.Errorf("line %v", line)
		}
		s.renews(time.Hour)
		s.logged(zap.InfoLevel, ended, 1)
	})
}

// What the provider says now is true of what was issued before.
func TestClaimsAreRenewed(t *testing.T) {
	run(t, func(s *site) {
		s.provider.groups["alice"] = []string{"staff"}
		s.signIn("alice")
		if got := s.verified("alice", nil).Groups; !slices.Equal(got, []string{"staff"}) {
			t.Errorf("groups %v", got)
		}
		s.provider.groups["alice"] = []string{"alumni"}
		s.renews(recheck)
		if got := s.verified("alice", nil).Groups; !slices.Equal(got, []string{"alumni"}) {
			t.Errorf("groups %v", got)
		}
	})
}

// Whoever does not match the configuration any more ends for good.
func TestNotAllowedAnyMore_D09(t *testing.T) {
	run(t, func(s *site) {
		s.cfg.SignIn.Of(company).Valid = func(id storage.Identity) bool { return slices.Contains(id.Claims.Groups, "staff") }
		s.provider.groups["alice"] = []string{"staff"}
		s.signIn("alice")
		s.renews(recheck)
		s.signedIn("alice", true)
		s.provider.groups["alice"] = nil
		s.renews(recheck)
		s.signedIn("alice", false)
		s.logged(zap.InfoLevel, ended, 1)
	})
}

// Whoever is not let in when they sign in ends for good, too; of a stranger nothing
// is kept.
func TestNotAllowedWhenSigningIn_D09(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.signIn("bob")
		alice, mallory := s.provider.signIn("alice").Identity, s.provider.signIn("mallory").Identity
		s.store.Fail("Person")
		if err := s.NotAllowed(t.Context(), alice); oauth.AsError(err).Status != 503 {
			t.Errorf("the store fails: %v", err)
		}
		s.store.Fail("")
		s.must(s.NotAllowed(t.Context(), alice))
		s.signedIn("alice", false)
		s.signedIn("bob", true)
		s.logged(zap.InfoLevel, ended, 1)
		s.must(s.NotAllowed(t.Context(), mallory))
		s.logged(zap.InfoLevel, ended, 1)
		if _, err := s.store.Person(t.Context(), issuer, mallory.Subject, time.Now()); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a stranger is kept: %v", err)
		}
	})
}

// A provider that does not answer: people stay for as long again as the recheck
// time, are refused until it answers, and stay what they were.
func TestProviderDown(t *testing.T) {
	for name, down := range map[string]func(*provider){
		"an error": func(p *provider) { p.err = errors.New("down") },
		"silence":  func(p *provider) { p.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(s *site) {
				for i := range 40 {
					s.signIn(fmt.Sprint("p", i))
				}
				down(s.provider)
				s.renews(recheck)
				s.verified("p0", nil)
				s.logged(zap.WarnLevel, "a provider does not answer", 1)
				s.renews(recheck)
				if n := len(s.provider.names()); n > 40*40 {
					t.Errorf("asked %d times", n)
				}
				s.verified("p0", identity.ErrProviderSilent)
				s.signedIn("p0", true)
				s.renews(time.Hour)
				if n := s.logs.FilterMessageSnippet("a provider does not answer").Len(); n < 3 || n > 10 {
					t.Errorf("%d warnings in an hour and a half", n)
				}
				s.provider.mu.Lock()
				s.provider.err, s.provider.hangs = nil, false
				s.provider.mu.Unlock()
				s.renews(2 * time.Minute)
				for i := range 40 {
					s.verified(fmt.Sprint("p", i), nil)
				}
				s.logged(zap.InfoLevel, "a provider answers again", 1)
				s.logged(zap.InfoLevel, ended, 0)
			})
		})
	}
}

// One person about whom the provider always fails keeps nobody else from being
// renewed.
func TestOneFails(t *testing.T) {
	run(t, func(s *site) {
		for i := range 20 {
			s.signIn(fmt.Sprint("p", i))
		}
		m := s.cfg.SignIn.Of(company)
		m.Renew = func(ctx context.Context, p identity.Person) (identity.Person, error) {
			if p.Name == "p7" || p.Name == "p8" {
				return p, errors.New("no answer for this one")
			}
			return s.provider.renew(ctx, p)
		}
		s.renews(time.Hour)
		for i := range 20 {
			want := error(nil)
			if i == 7 || i == 8 {
				want = identity.ErrProviderSilent
			}
			s.verified(fmt.Sprint("p", i), want)
		}
	})
}

// Each refresh token is spent by one process, however many there are.
func TestOneRenewalAtATime(t *testing.T) {
	run(t, func(s *site) {
		for i := range 30 {
			s.signIn(fmt.Sprint("p", i))
		}
		processes := []*Persons{s.Persons, s.another(zapcore.NewNopCore()), s.another(zapcore.NewNopCore())}
		for range 12 * 6 * 10 {
			time.Sleep(10 * time.Second)
			var all sync.WaitGroup
			for _, p := range processes {
				all.Go(func() {
					if err := p.RenewDue(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		for i := range 30 {
			s.signedIn(fmt.Sprint("p", i), true)
		}
		if n := len(s.provider.names()); n < 30*8 || n > 30*14 {
			t.Errorf("asked %d times in two hours about 30 people", n)
		}
	})
}

// A person who signs in while their provider is asked keeps what they came back
// with; a token that was used up meanwhile is replaced.
func TestSignedInMeanwhile(t *testing.T) {
	run(t, func(s *site) {
		s.provider.groups["alice"] = []string{"staff"}
		s.signIn("alice")
		var newest []byte
		s.provider.during = func() { // the provider is not in the way of itself
			s.provider.during = nil
			p := s.provider.person("alice")
			newest = p.Secret
			_, err := s.Login(p).Keep(t.Context())
			s.must(err)
		}
		// It refuses the secret that it was asked with, for there is a newer one.
		s.renews(recheck)
		s.signedIn("alice", true)
		if newest == nil {
			t.Fatal("nobody was asked")
		}
		s.renews(time.Hour)
		s.signedIn("alice", true)

		s.provider.during = func() { // and this login brings no secret
			s.provider.during = nil
			p := s.provider.person("alice")
			s.provider.good[p.Subject] = "" // set below
			p.Secret = nil
			_, err := s.Login(p).Keep(t.Context())
			s.must(err)
			stored, err := s.store.Person(t.Context(), issuer, p.Subject, time.Now())
			s.must(err)
			secret, err := s.keys.Open(stored.Secret, sealed.Person(stored)...)
			s.must(err)
			s.provider.good[p.Subject] = string(secret)
		}
		s.renews(recheck)
		s.renews(time.Hour)
		s.signedIn("alice", true)
		s.verified("alice", nil)
	})
}

// A provider that answers with another secret and an error: that one is kept.
func TestSecretChangedWithAnError(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		fails := true
		s.cfg.SignIn.Of(company).Renew = func(ctx context.Context, p identity.Person) (identity.Person, error) {
			renewed, err := s.provider.renew(ctx, p)
			if err == nil && fails {
				fails = false
				return identity.Person{Identity: p.Identity, Secret: renewed.Secret}, errors.New("not to be relied on")
			}
			return renewed, err
		}
		s.renews(time.Hour)
		s.signedIn("alice", true)
		s.verified("alice", nil)
		if fails {
			t.Error("it did not fail")
		}
	})
}

// A store that fails for a moment loses nothing that the provider gave.
func TestStoreFailsWhileRenewing(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.provider.during = func() {
			s.provider.during = nil
			s.store.Fail("UpdatePerson")
			go func() { time.Sleep(2 * time.Second); s.store.Fail("") }()
		}
		s.renews(recheck)
		s.renews(time.Hour)
		s.signedIn("alice", true)
		s.verified("alice", nil)
	})
	run(t, func(s *site) {
		s.signIn("alice")
		s.store.Fail("DuePersons")
		time.Sleep(recheck)
		if err := s.RenewDue(t.Context()); !errors.Is(err, storetest.ErrDisk) {
			t.Errorf("got %v", err)
		}
	})
}

// The end of a process does not lose the answer that the provider is giving.
func TestStopWhileRenewing(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		for i := range 3 * atOnce {
			s.signIn(fmt.Sprint("p", i))
		}
		s.provider.during = func() { s.provider.during = nil; stop() }
		time.Sleep(recheck)
		s.must(s.RenewDue(ctx))
		if n := len(s.provider.names()); n == 0 || n > atOnce {
			t.Errorf("asked about %d people, want those at most who were under way", n)
		}
		s.renews(time.Hour)
		s.signedIn("alice", true)
		for i := range 3 * atOnce {
			s.signedIn(fmt.Sprint("p", i), true)
		}
	})
}

// Without a secret nothing is renewed, and people have to sign in again.
func TestNothingToRenewWith(t *testing.T) {
	run(t, func(s *site) {
		p := s.provider.signIn("alice")
		p.Secret = nil
		id, err := s.Login(p).Keep(t.Context())
		s.must(err)
		if asked := s.renews(23 * time.Hour); asked != nil {
			t.Errorf("asked about %v", asked)
		}
		session := storage.SignIn{BrowserSession: storage.BrowserSession{Hash: storage.HashOf("b"), Issuer: issuer, Identity: id, ExpiresAt: time.Now().Add(48 * time.Hour)}}
		s.must(s.store.CreateBrowserSession(t.Context(), session))
		verified := func() error {
			b, err := s.store.BrowserSession(t.Context(), storage.HashOf("b"), time.Now())
			s.must(err)
			return s.cfg.SignIn.Verified(b.Identity, time.Now())
		}
		if err := verified(); err != nil {
			t.Errorf("before a day: %v", err)
		}
		time.Sleep(time.Hour)
		if err := verified(); err != identity.ErrSignInAgain {
			t.Errorf("after a day: %v", err)
		}
		s.cfg.SignIn.Of(company).Recheck = 48 * time.Hour
		if err := verified(); err != nil {
			t.Errorf("after a day of two: %v", err)
		}
	})
}

// Keys that leave the ring take with them what renews people, not the people.
func TestSecretOfAnotherKey(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		newer, err := seal.NewKeyring([]byte("fedcba9876543210fedcba9876543210"), []byte("0123456789abcdef0123456789abcdef"))
		s.must(err)
		s.deps.Keys = newer
		s.renews(recheck)
		p, err := s.store.Person(t.Context(), issuer, company+":alice", time.Now())
		s.must(err)
		if !newer.Current(p.Secret) {
			t.Error("the secret is not sealed anew")
		}
		s.deps.Keys, err = seal.NewKeyring([]byte("another key of thirty-two bytes!"))
		s.must(err)
		s.renews(recheck)
		s.logged(zap.ErrorLevel, "cannot be decrypted", 1)
		s.signedIn("alice", true)
		if s.verified("alice", nil).Renewable {
			t.Error("still renewable")
		}
	})
}

// Nobody is asked about who has nothing left here.
func TestNothingLeft(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.must(second(s.store.RevokeGrant(t.Context(), "alice", time.Now())))
		if asked := s.renews(time.Hour); len(asked) < 4 {
			t.Errorf("with a browser session: asked about %v", asked)
		}
		var left []string
		s.deps.Left = func(_ context.Context, subject string) error {
			left = append(left, subject)
			return nil
		}
		time.Sleep(30 * 24 * time.Hour)
		s.renews(time.Hour)
		if want := []string{company + ":alice"}; !slices.Equal(left, want) {
			t.Errorf("told of %q, want %q", left, want)
		}
		if _, err := s.store.Person(t.Context(), issuer, company+":alice", time.Now()); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the person: %v", err)
		}
		if asked := s.renews(time.Hour); asked != nil {
			t.Errorf("asked about %v", asked)
		}
		s.logged(zap.InfoLevel, ended, 0)
	})
}

// A panic while one person is renewed is an error, and no end of the process.
func TestPanicWhileRenewing(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.cfg.SignIn.Of(company).Renew = func(context.Context, identity.Person) (identity.Person, error) { panic("a bug") }
		time.Sleep(recheck)
		if err := s.RenewDue(t.Context()); err == nil {
			t.Error("no error")
		}
	})
}

func second[T any](_ T, err error) error { return err }

// An answer about somebody else is none.
func TestAnswerAboutSomebodyElse(t *testing.T) {
	run(t, func(s *site) {
		s.provider.groups["alice"] = []string{"staff"}
		s.signIn("alice")
		s.cfg.SignIn.Of(company).Renew = func(_ context.Context, p identity.Person) (identity.Person, error) {
			p.Subject, p.Claims = company+":mallory", &storage.Claims{Groups: []string{"admin"}}
			return p, nil
		}
		s.renews(recheck)
		if got := s.verified("alice", nil).Groups; !slices.Equal(got, []string{"staff"}) {
			t.Errorf("groups %v", got)
		}
		s.renews(recheck)
		s.verified("alice", identity.ErrProviderSilent)
	})
}

// A provider may let people keep the secret that they have: then it is sealed anew
// when there is another key, and stays otherwise.
func TestSecretThatStays(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.cfg.SignIn.Of(company).Renew = func(_ context.Context, p identity.Person) (identity.Person, error) {
			if string(p.Secret) != "secret 1" {
				t.Errorf("asked with %q", p.Secret)
			}
			p.Secret = nil
			return p, nil
		}
		sealed := func() []byte {
			p, err := s.store.Person(t.Context(), issuer, company+":alice", time.Now())
			s.must(err)
			return p.Secret
		}
		before := sealed()
		s.renews(recheck)
		if !bytes.Equal(before, sealed()) {
			t.Error("sealed anew without a reason")
		}
		newer, err := seal.NewKeyring([]byte("fedcba9876543210fedcba9876543210"), []byte("0123456789abcdef0123456789abcdef"))
		s.must(err)
		s.deps.Keys = newer
		s.renews(recheck)
		if !newer.Current(sealed()) {
			t.Error("not sealed with the first key")
		}
	})
}

// What somebody came back with while they were asked about is newer than the answer.
func TestLoginIsNewerThanTheAnswer(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		s.cfg.SignIn.Of(company).Renew = func(_ context.Context, was identity.Person) (identity.Person, error) {
			login := s.provider.person("alice")
			login.Secret, login.Claims = []byte("of the login"), &storage.Claims{Groups: []string{"of the login"}}
			_, err := s.Login(login).Keep(t.Context())
			s.must(err)
			was.Secret, was.Claims = []byte("of the answer"), &storage.Claims{Groups: []string{"of the answer"}}
			return was, nil
		}
		s.renews(recheck)
		p, err := s.store.Person(t.Context(), issuer, company+":alice", time.Now())
		s.must(err)
		secret, err := s.keys.Open(p.Secret, sealed.Person(p)...)
		if err != nil || string(secret) != "of the login" || p.Claims.Groups[0] != "of the login" {
			t.Errorf("secret %q, %v, groups %v", secret, err, p.Claims.Groups)
		}
	})
}

// Whoever's way to sign in has left the configuration is ended, and giving it back
// revives nothing.
func TestKindLeftTheConfiguration_D09(t *testing.T) {
	run(t, func(s *site) {
		s.signIn("alice")
		kept := s.cfg.SignIn
		s.cfg.SignIn = append(slices.Clone(kept[:2]), identity.Method{Kind: "oidc:another", RenewEvery: recheck, Renew: s.provider.renew})
		if asked := s.renews(recheck); asked != nil {
			t.Errorf("asked about %v", asked)
		}
		s.cfg.SignIn = kept
		s.signedIn("alice", false)
		s.logged(zap.InfoLevel, ended, 1)
	})
}
