package persons

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const (
	issuer  = "https://mcp.example.com"
	company = "oidc:company"
	recheck = 15 * time.Minute
)

// provider is the identity provider of a kind. Each of its secrets is good once.
type provider struct {
	mu     sync.Mutex
	good   map[string]string // secret by subject
	groups map[string][]string
	err    error // what it answers instead
	hangs  bool
	during func() // happens while it is asked
	asked  []string
	issued int
}

func (p *provider) signIn(name string) identity.Person {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.person(name)
}

func (p *provider) person(name string) identity.Person {
	p.issued++
	subject := company + ":" + name
	p.good[subject] = fmt.Sprint("secret ", p.issued)
	return identity.Person{
		Identity: storage.Identity{
			Kind: company, Subject: subject, Name: name, Proof: "issuer", Claims: &storage.Claims{Groups: p.groups[name]},
		},
		Secret: []byte(p.good[subject]), Session: "session of " + name,
	}
}

func (p *provider) renew(ctx context.Context, was identity.Person) (identity.Person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, was.Name)
	if p.hangs {
		p.mu.Unlock() // a mutex is nothing that synctest waits for
		<-ctx.Done()
		p.mu.Lock()
		return was, ctx.Err()
	}
	if p.during != nil {
		p.during()
	}
	switch {
	case p.err != nil:
		return was, p.err
	case string(was.Secret) != p.good[was.Subject]:
		return was, fmt.Errorf("%w: used before", identity.ErrEnded)
	}
	return p.person(was.Name), nil
}

func (p *provider) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	slices.Sort(asked)
	return asked
}

// site is a site at work, in a bubble of synctest.
type site struct {
	*testing.T
	*Persons
	store    *storetest.Faulty
	provider *provider
	cfg      *config.Site
	logs     *observer.ObservedLogs
	keys     *seal.Keyring
}

// run runs a test of a site with a clock of its own.
func run(t *testing.T, test func(s *site)) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
		if err != nil {
			t.Fatal(err)
		}
		core, logs := observer.New(zapcore.DebugLevel)
		idp := &provider{good: map[string]string{}, groups: map[string][]string{}}
		s := &site{T: t, store: storetest.NewFaulty(memstore.New()), provider: idp, logs: logs, keys: keys}
		s.cfg = &config.Site{
			Issuer: issuer, Lifetimes: config.DefaultLifetimes,
			SignIn: identity.Methods{identity.ByUserID(), identity.ByCaddy(24 * time.Hour), {Kind: company, RenewEvery: recheck, Renew: idp.renew}},
		}
		s.Persons = s.another(core)
		test(s)
	})
}

// another is the same site in another process.
func (s *site) another(core zapcore.Core) *Persons {
	return New(s.cfg, Deps{
		Store: s.store, Cache: tokens.NewCache(s.store, 16), Keys: s.keys, SessionLifetime: 30 * 24 * time.Hour, Events: oauthtest.Events(zap.New(core)), Now: time.Now,
	})
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// signIn signs somebody in, and gives them a grant of their name and a browser
// session.
func (s *site) signIn(name string) { s.has(name, s.provider.signIn(name)) }

// has is signIn of somebody who came back from the provider.
func (s *site) has(name string, p identity.Person) {
	s.Helper()
	id, err := s.Login(p).Keep(s.Context())
	s.must(err)
	now := time.Now()
	flow := storage.Flow{ID: flowID(), Issuer: issuer, Identity: id, ExpiresAt: now.Add(time.Minute)}
	_, err = s.store.SaveFlow(s.Context(), flow, now)
	s.must(err)
	v, err := s.store.SubmitFlow(s.Context(), storage.Submission{
		FlowID: flow.ID, Issuer: issuer, Identity: id, Now: now,
		Grant: &storage.Grant{
			ID: name, Issuer: issuer, Identity: id, CreatedAt: now,
			ExpiresAt: now.Add(90 * 24 * time.Hour), AbsoluteExpiresAt: now.Add(90 * 24 * time.Hour),
		},
		Code: &storage.Code{Hash: storage.HashOf(flow.ID), GrantID: name, Issuer: issuer, ExpiresAt: now.Add(time.Minute)},
		Browser: &storage.SignIn{BrowserSession: storage.BrowserSession{
			Hash: storage.HashOf(name), Issuer: issuer, Identity: id, CreatedAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour),
		}},
	})
	if err != nil || v != storage.OK {
		s.Fatal(v, err)
	}
}

var numbers int

func flowID() string { numbers++; return fmt.Sprint("flow ", numbers) }

// renews passes time as a process does, and returns who was asked about.
func (s *site) renews(d time.Duration) []string {
	s.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(10 * time.Second)
		s.must(s.RenewDue(s.Context()))
	}
	return s.provider.names()
}

// signedIn tells whether what signIn made is there.
func (s *site) signedIn(name string, want bool) {
	s.Helper()
	g, err := s.store.Grant(s.Context(), name, time.Now())
	_, err2 := s.store.BrowserSession(s.Context(), storage.HashOf(name), time.Now())
	if got := [2]bool{err == nil && g.RevokedAt.IsZero(), err2 == nil}; got != [2]bool{want, want} {
		s.Fatalf("%s has a grant and a browser session: %v, want %t", name, got, want)
	}
}

// verified tells what the grant of somebody is worth.
func (s *site) verified(name string, want error) *storage.Claims {
	s.Helper()
	g, err := s.store.Grant(s.Context(), name, time.Now())
	s.must(err)
	if err := s.cfg.SignIn.Verified(g.Identity, time.Now()); err != want {
		s.Fatalf("%s, verified at %v: %v, want %v", name, g.Identity.Claims.VerifiedAt, err, want)
	}
	return g.Identity.Claims
}

func (s *site) logged(level zapcore.Level, text string, want int) {
	s.Helper()
	if got := s.logs.FilterMessageSnippet(text).FilterLevelExact(level).Len(); got != want {
		s.Fatalf("%d lines %q, want %d; all:\n%v", got, text, want, s.logs.All())
	}
}

// Kinds without claims have no record, and cost nothing.
func TestNoRecordOfOthers(t *testing.T) {
	run(t, func(s *site) {
		id := storage.Identity{Kind: "user_id", Subject: "user_id:alice", Name: "alice"}
		s.store.Called()
		got, err := s.Login(identity.Person{Identity: id}).Keep(t.Context())
		if err != nil || got != id || s.store.Called() != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// What an earlier version wrote down of a visit still counts.
func TestProvedBefore_D09(t *testing.T) {
	run(t, func(s *site) {
		bob := storage.Identity{Kind: "caddy", Subject: "caddy:bob", Name: "bob"}
		proves := func(want time.Time) {
			t.Helper()
			got, err := s.LastProved(t.Context(), bob)
			if err != nil || !got.Equal(want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		}
		proves(time.Time{})
		before := time.Now().UTC()
		s.must(s.store.PutSiteValue(t.Context(), storage.SiteValue{Issuer: issuer, Name: "proved caddy:bob", Text: before.Format(time.RFC3339Nano), ExpiresAt: before.Add(48 * time.Hour)}))
		proves(before)
		time.Sleep(59 * time.Minute)
		s.must(s.ProvedAgain(t.Context(), bob))
		proves(before)
		time.Sleep(time.Minute)
		s.must(s.ProvedAgain(t.Context(), bob))
		proves(time.Now())
		for _, verb := range []string{"Person", "SavePerson"} {
			time.Sleep(time.Hour)
			s.store.Fail(verb)
			if err := s.ProvedAgain(t.Context(), bob); oauth.AsError(err).Status != 503 {
				t.Errorf("%s: %v", verb, err)
			}
			s.store.Fail("")
		}
	})
}

// Every failure of the store while somebody signs in is one, and leaves nothing
// that lets them in.
func TestSignedInStoreFails(t *testing.T) {
	run(t, func(s *site) {
		for _, verb := range []string{"PutSiteValue", "SavePerson"} {
			s.store.Fail(verb)
			if _, err := s.Login(s.provider.signIn("alice")).Keep(t.Context()); oauth.AsError(err).Status != 503 {
				t.Errorf("%s: %v", verb, err)
			}
			s.store.Fail("")
		}
		id, err := s.Login(s.provider.signIn("alice")).Keep(t.Context())
		s.must(err)
		if id.Person == "" || id.ProviderSession != "session of alice" || !id.Claims.Renewable || !id.Claims.VerifiedAt.Equal(time.Now()) {
			t.Errorf("got %+v, %+v", id, id.Claims)
		}
		p, err := s.store.Person(t.Context(), issuer, id.Subject, time.Now())
		s.must(err)
		if reflect.DeepEqual(p.Secret, []byte(s.provider.good[id.Subject])) {
			t.Error("the secret is not sealed")
		}
	})
}
