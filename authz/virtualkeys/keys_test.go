package virtualkeys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const issuer = "https://mcp.example.com"

// process is the keys of a site in one process.
type process struct {
	*Keys
	t      *testing.T
	cfg    *config.Site
	policy *grants.Policy
	logs   *observer.ObservedLogs
}

// fixture is a store that processes share, and what they read of files.
type fixture struct {
	t     *testing.T
	store *storetest.Faulty
	clock *oauthtest.Clock
	known *Known
	mu    sync.Mutex
	file  string
}

func newFixture(t *testing.T) *fixture {
	return &fixture{
		t: t, store: storetest.NewFaulty(memstore.New()), known: new(Known),
		clock: oauthtest.NewClock(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)),
	}
}

// site has two servers, and the configured keys.
func site(keys ...config.VirtualKey) config.Site {
	return config.Site{
		PublicURL: issuer, Identities: []config.Identity{{Kind: identity.VirtualKey}}, VirtualKeys: keys,
		Servers: []*config.Server{
			{ID: "a", Path: "/a", Upstream: "https://a.example/mcp"}, {ID: "b", Path: "/b", Upstream: "https://b.example/mcp"},
		},
	}
}

// resolve reads {file.…}; what is not there is an error.
func (f *fixture) resolve(value string) (string, bool, error) {
	if !strings.Contains(value, "{") {
		return value, true, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == "" {
		return "", true, errors.New("the file is empty; write the value into it")
	}
	return f.file, true, nil
}

func (f *fixture) write(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.file = text
}

// open begins a process with a configuration.
func (f *fixture) open(s config.Site) (*process, error) {
	cfg, err := s.Resolve(f.resolve)
	if err != nil {
		f.t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	log := zap.New(core)
	p := &process{t: f.t, cfg: cfg, policy: grants.NewPolicy(cfg), logs: logs}
	gs := grants.New(cfg, p.policy, nil, f.store, tokens.NewCache(f.store, 16), oauthtest.Events(log), f.clock.Now)
	p.Keys, err = Open(f.t.Context(), Deps{
		Known: f.known, Config: cfg, Store: f.store, Withdrawals: grants.NewWithdrawals(gs, f.store), Resolve: f.resolve, Events: oauthtest.Events(log), Now: f.clock.Now,
	})
	return p, err
}

func (f *fixture) process(s config.Site) *process {
	f.t.Helper()
	p, err := f.open(s)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// grant is one that an identity approved, for server a.
func (f *fixture) grant(id string, of storage.Identity) {
	f.t.Helper()
	now := f.clock.Now()
	if _, err := f.store.SaveFlow(f.t.Context(), storage.Flow{ID: id, Issuer: issuer, Identity: of, ExpiresAt: now.Add(time.Hour)}, now); err != nil {
		f.t.Fatal(err)
	}
	v, err := f.store.SubmitFlow(f.t.Context(), storage.Submission{
		FlowID: id, Issuer: issuer, Identity: of, Now: now,
		Grant: &storage.Grant{
			ID: id, Issuer: issuer, ClientID: "client", Identity: of, Resources: []string{issuer + "/a"}, CreatedAt: now,
			ExpiresAt: now.Add(1000 * time.Hour), AbsoluteExpiresAt: now.Add(1000 * time.Hour),
		},
		Code: &storage.Code{Hash: storage.HashOf("code " + id), GrantID: id, Issuer: issuer, ClientID: "client", ExpiresAt: now.Add(time.Minute)},
	})
	if err != nil || v != storage.OK {
		f.t.Fatalf("verdict %v, error %v", v, err)
	}
}

// stands reports whether a grant does.
func (f *fixture) stands(id string) bool {
	f.t.Helper()
	g, err := f.store.Grant(f.t.Context(), id, f.clock.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	return g.RevokedAt.IsZero()
}

// looks is what the process does every few seconds.
func (p *process) looks() error {
	return errors.Join(p.Refresh(p.t.Context()), p.End(p.t.Context()))
}

func (p *process) mustLook() {
	p.t.Helper()
	if err := p.looks(); err != nil {
		p.t.Fatal(err)
	}
}

// behind returns the key behind a secret, or nil.
func (p *process) behind(secret string) *identity.Key {
	return p.cfg.Keys.Set().ByHash(storage.HashOf(secret))
}

func (p *process) create(name string, c Change) (secret string) {
	p.t.Helper()
	_, secret, err := p.Create(p.t.Context(), name, c)
	if err != nil {
		p.t.Fatal(err)
	}
	return secret
}

func (p *process) change(name string, c Change) {
	p.t.Helper()
	if _, err := p.Change(p.t.Context(), name, c); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) rotate(name string, overlap time.Duration) (secret string) {
	p.t.Helper()
	_, secret, err := p.Rotate(p.t.Context(), name, overlap)
	if err != nil {
		p.t.Fatal(err)
	}
	return secret
}

// Processes on one store learn of each other's changes, and what one of them
// withdraws ends whichever looks first.
func TestKeysOfTwoProcesses_D09(t *testing.T) {
	f := newFixture(t)
	one, two := f.process(site()), f.process(site())
	one.mustLook()
	two.mustLook()
	secret := one.create("alice", Change{})
	if one.behind(secret) == nil || two.behind(secret) != nil {
		t.Fatal("the key is not good where it was made, or known elsewhere before anybody looked")
	}
	two.mustLook()
	key := two.behind(secret)
	if key == nil {
		t.Fatal("the other process does not know the key")
	}
	f.grant("grant", key.Identity())
	f.store.Called()
	two.mustLook()
	if got := fmt.Sprint(f.store.Called()); got != "[LastVirtualKeyChange]" {
		t.Errorf("to look costs %s", got)
	}
	one.change("alice", Change{Disabled: new(true)})
	if one.behind(secret) != nil || two.behind(secret) == nil || f.stands("grant") {
		t.Error("the key is not withdrawn where it was disabled, or known to be elsewhere")
	}
	two.mustLook()
	if two.behind(secret) != nil || two.policy.Allows(key.Identity()) {
		t.Error("the other process did not notice")
	}
	two.change("alice", Change{Disabled: new(false)})
	one.mustLook()
	again := one.behind(secret)
	if again == nil || again.Identity().Same(key.Identity()) || one.policy.Allows(key.Identity()) {
		t.Errorf("%+v after %+v", again, key)
	}
	if err := one.Delete(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if err := two.Delete(t.Context(), "alice"); !errors.Is(err, ErrUnknown) {
		t.Errorf("deleted twice: %v", err)
	}
	if two.behind(secret) != nil {
		t.Error("the other process did not notice while it looked for the key")
	}
}

// A process that has not heard of a key yet, and is about to end what rested on
// another one, leaves alone what rests on it (M09, D09).
func TestKeyMadeElsewhereIsNotWithdrawn_D09(t *testing.T) {
	f := newFixture(t)
	one, two := f.process(site()), f.process(site())
	former := one.create("former", Change{})
	two.mustLook()
	f.grant("former", two.behind(former).Identity())
	if err := one.Delete(t.Context(), "former"); err != nil {
		t.Fatal(err)
	}
	if err := two.Refresh(t.Context()); err != nil { // it has to end something now
		t.Fatal(err)
	}
	fresh := one.create("fresh", Change{})
	one.mustLook()
	f.grant("fresh", one.behind(fresh).Identity())
	if err := two.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !f.stands("fresh") || f.stands("former") {
		t.Errorf("of the key that was made: stands %v, want true; of the one that was deleted: %v, want false", f.stands("fresh"), f.stands("former"))
	}
	// What the site keeps in mind has it, so it ends with the key.
	if err := one.Delete(t.Context(), "fresh"); err != nil {
		t.Fatal(err)
	}
	two.mustLook()
	if f.stands("fresh") {
		t.Error("of the key that was deleted at last: it stands")
	}
}

// Of many who make a key of one name, in several processes, one gets it.
func TestOneOfManyMakesAKey(t *testing.T) {
	f := newFixture(t)
	processes := []*process{f.process(site()), f.process(site())}
	for round := range 20 {
		var made sync.Map
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				name := []string{"alice", "ALICE", "Ａlice"}[n%3] + fmt.Sprint(round)
				_, secret, err := processes[n%2].Create(context.Background(), name, Change{})
				var refused *Refused
				switch {
				case err == nil:
					made.Store(secret, name)
				case !errors.As(err, &refused) || !refused.Conflict || secret != "":
					t.Errorf("got %q, %v; want a conflict", secret, err)
				}
			})
		}
		all.Wait()
		winners := 0
		made.Range(func(secret, name any) bool {
			winners++
			for _, p := range processes {
				p.mustLook()
				if k := p.behind(secret.(string)); k == nil || k.Name != name {
					t.Errorf("%+v, want %v", k, name)
				}
			}
			return true
		})
		if winners != 1 {
			t.Fatalf("%d winners", winners)
		}
	}
}

// Changes of one key from several processes are all done, one after the other.
func TestChangesMeet(t *testing.T) {
	f := newFixture(t)
	processes := []*process{f.process(site()), f.process(site())}
	processes[0].create("alice", Change{})
	var all sync.WaitGroup
	secrets := make([]string, 16)
	for n := range secrets {
		all.Go(func() {
			var err error
			if _, secrets[n], err = processes[n%2].Rotate(context.Background(), "alice", time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if changes, err := f.store.LastVirtualKeyChange(t.Context(), issuer); err != nil || changes != uint64(len(secrets)+1) {
		t.Errorf("%d changes are stored, %v; want %d", changes, err, len(secrets)+1)
	}
	for _, p := range processes {
		p.mustLook()
		good := 0
		for _, secret := range secrets {
			if p.behind(secret) != nil {
				good++
			}
		}
		if good != 2 { // the last, and the one before
			t.Errorf("%d keys are good, want 2", good)
		}
	}
}

// Time alone ends keys, and what was approved with them; longer life revives nothing.
func TestKeysEndByTheClock_D09(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	p.mustLook()
	end := f.clock.Now().Add(time.Hour)
	first := p.create("alice", Change{ExpiresAt: &end})
	f.grant("first", p.behind(first).Identity())
	second := p.rotate("alice", 10*time.Minute)
	f.grant("second", p.behind(second).Identity())
	// Gates go by it also while nobody looks.
	if got, want := p.behind(first).ExpiresAt, f.clock.Now().Add(10*time.Minute); !got.Equal(want) {
		t.Errorf("the key before the rotation expires %v, want %v", got, want)
	}
	f.clock.Advance(10*time.Minute - 1)
	p.mustLook()
	if p.behind(first) == nil || p.behind(second) == nil || !f.stands("first") || !f.stands("second") {
		t.Error("a key or grant ended before its time")
	}
	f.clock.Advance(1)
	p.mustLook()
	if p.behind(first) != nil || p.behind(second) == nil || f.stands("first") || !f.stands("second") {
		t.Error("the key before the rotation goes on, or the one after it does not")
	}
	f.clock.Advance(50 * time.Minute)
	p.mustLook()
	if p.behind(second) != nil || f.stands("second") {
		t.Error("a key that expired goes on")
	}
	f.grant("late", storage.Identity{Kind: "virtual_key", Subject: "virtual_key:alice", Proof: identity.NewVirtualKeys(identity.Key{Hash: storage.HashOf(second)}).Set().All()[0].HashProof()})
	p.change("alice", Change{ExpiresAt: new(time.Time)})
	key := p.behind(second)
	if key == nil {
		t.Fatal("the key does not live longer")
	}
	late, err := f.store.Grant(t.Context(), "late", f.clock.Now())
	if err != nil || p.policy.Allows(late.Identity) {
		t.Errorf("what was approved with the key before it expired is good: %v", err)
	}
}

// A key that is no longer good when it gets its successor stays so, whatever the
// overlap: its name is given back, and the key that leaked is not.
func TestRotationRevivesNoKey_D09(t *testing.T) {
	for name, test := range map[string]struct{ withdraw, giveBack func(now time.Time) Change }{
		"disabled": {
			func(time.Time) Change { return Change{Disabled: new(true)} },
			func(time.Time) Change { return Change{Disabled: new(false)} },
		},
		"expired": {
			func(now time.Time) Change { return Change{ExpiresAt: new(now.Add(time.Minute))} },
			func(time.Time) Change { return Change{ExpiresAt: new(time.Time)} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			p := f.process(site())
			leaked := p.create("alice", Change{})
			p.change("alice", test.withdraw(f.clock.Now()))
			f.clock.Advance(time.Minute)
			key, successor, err := p.Rotate(t.Context(), "alice", 24*time.Hour)
			if err != nil || !key.FormerUntil.IsZero() {
				t.Fatalf("the former key is good until %v, error %v; want not at all", key.FormerUntil, err)
			}
			p.change("alice", test.giveBack(f.clock.Now()))
			if p.behind(leaked) != nil || p.behind(successor) == nil {
				t.Errorf("the key that was withdrawn is good: %t, its successor: %t; want only the successor", p.behind(leaked) != nil, p.behind(successor) != nil)
			}
		})
	}
}

// Withdrawing a key signs out the browsers of its person for good. While a successor
// stays, so does who signed in with that.
func TestBrowsersEndWithTheKey_D09(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	signIn := func(secret string) {
		t.Helper()
		err := f.store.CreateBrowserSession(t.Context(), storage.SignIn{BrowserSession: storage.BrowserSession{
			Hash: storage.HashOf(secret), Issuer: issuer, Identity: p.behind(secret).Identity(), CreatedAt: f.clock.Now(), ExpiresAt: f.clock.Now().Add(time.Hour),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	signedIn := func(secret string) bool {
		t.Helper()
		_, err := f.store.BrowserSession(t.Context(), storage.HashOf(secret), f.clock.Now())
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	first := p.create("alice", Change{})
	second := p.rotate("alice", time.Minute)
	signIn(second)
	f.clock.Advance(time.Minute)
	p.mustLook()
	if p.behind(first) != nil || !signedIn(second) {
		t.Error("the end of the key before the rotation signs out who signed in with its successor")
	}
	p.change("alice", Change{Disabled: new(true)})
	if signedIn(second) {
		t.Error("a browser is signed in with a key that is disabled")
	}
}

// What cannot be ended while the store fails is not good all the same, not even
// when the key is given back, and ends when the store works.
func TestEndingFails_D09(t *testing.T) {
	for name, changes := range map[string][2]Change{
		"disabled and enabled": {{Disabled: new(true)}, {Disabled: new(false)}},
		"narrowed and widened": {{Servers: &[]string{"b"}}, {Servers: new([]string)}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			p := f.process(site())
			p.mustLook()
			secret := p.create("alice", Change{})
			id := p.behind(secret).Identity()
			f.grant("grant", id)
			f.store.Fail("RevokeGrant")
			for _, c := range changes {
				p.change("alice", c)
			}
			if p.behind(secret) == nil || p.policy.Allows(id) || !f.stands("grant") {
				t.Error("got what was approved before back, or the store did not fail")
			}
			if err := p.looks(); err == nil {
				t.Error("no error")
			}
			f.store.Fail("")
			f.process(site()).mustLook() // after a restart
			if f.stands("grant") {
				t.Error("the grant stands")
			}
		})
	}
}

// Keys in the store are good for a while after the store was last seen, and a new
// configuration can begin while it is away.
func TestStoreIsAway(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	secret := p.create("alice", Change{})
	for _, verb := range []string{"LastVirtualKeyChange", "VirtualKeys"} {
		if verb == "VirtualKeys" {
			f.known = new(Known)
			f.store.Fail(verb)
			if _, err := f.open(site()); err == nil {
				t.Errorf("%s fails: a process that knows nothing begins", verb)
			}
			continue
		}
		f.store.Fail(verb)
		if err := p.looks(); err == nil {
			t.Errorf("%s fails: no error", verb)
		}
		if !p.cfg.Keys.Confirmed(f.clock.Now()) {
			t.Error("not trusted any more at once")
		}
		next := f.process(site())
		if next.behind(secret) == nil || next.cfg.Keys.Confirmed(f.clock.Now()) {
			t.Error("the next configuration does not know the key, or trusts it unseen")
		}
		f.clock.Advance(15 * time.Second)
		if p.cfg.Keys.Confirmed(f.clock.Now()) {
			t.Error("still trusted after 15 seconds")
		}
		f.store.Fail("")
		p.mustLook()
		if !p.cfg.Keys.Confirmed(f.clock.Now()) || p.behind(secret) == nil {
			t.Error("not trusted again")
		}
	}
	f.store.Fail("PutVirtualKey")
	if _, secret, err := p.Create(t.Context(), "bob", Change{}); err == nil || secret != "" {
		t.Errorf("got %q, %v; want an error alone", secret, err)
	}
	f.store.Fail("LastVirtualKeyChange")
	if _, secret, err := p.Create(t.Context(), "carol", Change{}); err != nil || secret == "" {
		t.Errorf("got %q, %v; want the key, which is stored", secret, err)
	} else if p.cfg.Keys.Confirmed(f.clock.Now()) {
		t.Error("keys are trusted though a change could not be read")
	}
}

// away is a store that cannot be reached.
type away struct {
	Store
	staleFor time.Duration
}

func (a away) LastVirtualKeyChange(context.Context, string) (uint64, error) {
	return 0, &storage.UnreachableError{StaleFor: a.staleFor, Cause: errors.New("refused")}
}

// While the store cannot be reached, keys are trusted for as long as it allows.
func TestStoreCannotBeReached_E16(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	p.create("alice", Change{})
	store := p.deps.Store
	p.deps.Store = away{store, time.Minute}
	for _, want := range []bool{true, false} {
		f.clock.Advance(30 * time.Second)
		if err := p.looks(); err == nil {
			t.Error("no error")
		}
		if got := p.cfg.Keys.Confirmed(f.clock.Now()); got != want {
			t.Errorf("trusted: %t, want %t", got, want)
		}
	}
	p.deps.Store = store
	p.mustLook()
	f.clock.Advance(16 * time.Second)
	if p.cfg.Keys.Confirmed(f.clock.Now()) {
		t.Error("trusted although the store can be reached, and was not looked at")
	}
}

// With stale_for 0 keys are trusted no longer than a token that was read before.
func TestKeysWithoutStaleFor_E16(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	p.create("alice", Change{})
	p.deps.Store = away{p.deps.Store, 0}
	for after, want := range []bool{true, false} {
		f.clock.Advance(3 * time.Second)
		if err := p.looks(); err == nil {
			t.Error("no error")
		}
		if got := p.cfg.Keys.Confirmed(f.clock.Now()); got != want {
			t.Errorf("%d looks later: trusted %t, want %t", after+1, got, want)
		}
	}
}

// The configuration wins the name of a key, and its secret.
func TestConfigurationWins_D09(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	p.mustLook()
	secret := p.create("Alice", Change{})
	id := p.behind(secret).Identity()
	f.grant("grant", id)
	configured := config.VirtualKey{Name: "alice", Key: "sha256:" + strings.Repeat("ab", 32)}
	next := f.process(site(configured))
	if next.behind(secret) != nil {
		t.Error("the key passes beside the one of the configuration")
	}
	if !f.stands("grant") || p.behind(secret) == nil {
		t.Error("a configuration that does not serve yet ended something")
	}
	next.mustLook()
	if f.stands("grant") || next.logs.FilterMessageSnippet("the configuration has one of its name now").Len() != 1 {
		t.Errorf("the grant stands, or the log does not say why: %v", next.logs.All())
	}
	next.mustLook()
	if n := next.logs.FilterMessageSnippet("the configuration has one of its name now").Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
	back := f.process(site())
	back.mustLook()
	if back.behind(secret) != nil || back.policy.Allows(id) {
		t.Error("the key came back by itself")
	}
}

// A file counts when the same key was there twice; what is no key is told of once.
func TestKeyInAFile_D09(t *testing.T) {
	f := newFixture(t)
	const first, second = "first-vK3wq9ZpL0x2Rt", "second-Q8fJc51nWs7Ty"
	f.write(first)
	hashed := config.VirtualKey{Name: "bob", Key: fmt.Sprintf("sha256:%x", storage.HashOf("bob's"))}
	p := f.process(site(config.VirtualKey{Name: "alice", Key: "{file./run/alice}"}, hashed))
	p.mustLook()
	id := p.behind(first).Identity()
	f.grant("grant", id)
	for _, bad := range []string{"", "short", "passwordpassword", fmt.Sprintf("sha256:%x", storage.HashOf("bob's"))} {
		before := p.logs.Len()
		f.write(bad)
		for range 3 {
			p.mustLook()
		}
		if p.behind(first) == nil || !f.stands("grant") || p.logs.Len() != before+1 {
			t.Errorf("%q: the key is gone, or the log has %d lines about it", bad, p.logs.Len()-before)
		}
	}
	f.write(second)
	p.mustLook()
	if p.behind(second) != nil {
		t.Error("a file that may be half written counts")
	}
	f.store.Fail("RevokeGrant")
	if err := p.looks(); err == nil {
		t.Error("no error")
	}
	if p.behind(first) != nil || p.behind(second) == nil || p.policy.Allows(id) {
		t.Error("the key before is good, or the new one is not")
	}
	f.store.Fail("")
	p.mustLook()
	if f.stands("grant") {
		t.Error("the grant stands")
	}
	f.clock.Advance(time.Second)
	f.grant("late", id) // by a request that began with the key before
	f.clock.Advance(time.Second)
	f.write(first)
	p.mustLook()
	p.mustLook()
	if p.behind(first) == nil || f.stands("late") {
		t.Error("the key is not back, or gave back what was approved with it")
	}
	f.write(second)
	p.mustLook()
	f.store.Fail("LastVirtualKeyChange")
	if err := p.Refresh(t.Context()); err == nil || p.behind(second) == nil {
		t.Errorf("error %v; want one, and the key of the file", err)
	}
	for _, e := range p.logs.All() {
		if text := fmt.Sprint(e); strings.Contains(text, first) || strings.Contains(text, second) {
			t.Errorf("the log has a key: %s", text)
		}
	}
}

// Uses are stored for all keys, at most once between two times of storing.
func TestLastUse(t *testing.T) {
	f := newFixture(t)
	configured := config.VirtualKey{Name: "bob", Key: fmt.Sprintf("sha256:%x", storage.HashOf("bob's"))}
	p := f.process(site(configured))
	secret := p.create("alice", Change{})
	used := f.clock.Now().Add(time.Minute)
	f.clock.Advance(time.Minute)
	for range 3 {
		p.behind(secret).Use.Mark(f.clock.Now)
		p.behind("bob's").Use.Mark(f.clock.Now)
		f.clock.Advance(time.Second)
	}
	f.store.Called()
	for range 2 {
		if err := p.SaveUses(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(f.store.Called()); got != "[PutSiteValue PutSiteValue]" {
		t.Errorf("stored by %s", got)
	}
	for _, at := range []*process{p, f.process(site(configured))} {
		all, err := at.List(t.Context())
		if err == nil {
			err = at.AddLastUses(t.Context(), all)
		}
		if err != nil || len(all) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		for _, k := range all {
			if !k.LastUsedAt.Equal(used) {
				t.Errorf("%s was used at %v, want %v", k.Name, k.LastUsedAt, used)
			}
		}
	}
}

// ahead is a store whose clock is ahead of a process's.
type ahead struct {
	Store
	by time.Duration
}

func (s ahead) Ahead() time.Duration { return s.by }

// When a key was last used is told to processes whose clocks are minutes apart as it
// was by the clock of each.
func TestLastUseBetweenClocks(t *testing.T) {
	const apart = 10 * time.Minute
	f := newFixture(t)
	behind, right := f.process(site()), f.process(site())
	behind.deps.Store, right.deps.Store = ahead{behind.deps.Store, apart}, ahead{right.deps.Store, 0}
	secret := behind.create("alice", Change{})
	used := f.clock.Now()
	behind.behind(secret).Use.Mark(f.clock.Now)
	if err := behind.SaveUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := f.process(site())
	again.deps.Store = behind.deps.Store
	for at, want := range map[*process]time.Time{right: used.Add(apart), again: used} {
		all, err := at.List(t.Context())
		if err == nil {
			err = at.AddLastUses(t.Context(), all)
		}
		if err != nil || len(all) != 1 || !all[0].LastUsedAt.Equal(want) {
			t.Errorf("%+v, %v; want last used at %v", all, err, want)
		}
	}
}

// A key for every server is not one for a server that is for some people since.
func TestServerGetsRules_D09(t *testing.T) {
	f := newFixture(t)
	p := f.process(site())
	p.mustLook()
	secret := p.create("alice", Change{})
	listed := p.create("bob", Change{Servers: &[]string{"a"}})
	f.grant("grant", p.behind(secret).Identity())
	f.grant("listed", p.behind(listed).Identity())
	restricted := func(ids ...string) *process {
		t.Helper()
		s := site()
		for _, server := range s.Servers {
			if slices.Contains(ids, server.ID) {
				server.Allow = []string{"group:staff"}
			}
		}
		next := f.process(s)
		next.mustLook()
		return next
	}
	next := restricted("a")
	if k := next.behind(secret); k == nil || k.Allows("a") || !k.Allows("b") {
		t.Errorf("%+v", k)
	}
	if k := next.behind(listed); k == nil || !k.Allows("a") {
		t.Errorf("%+v", k)
	}
	if f.stands("grant") || !f.stands("listed") {
		t.Error("the grant for the server stands, or one of a key that lists it does not")
	}
	if all, err := next.List(t.Context()); err != nil || fmt.Sprint(all[0].Servers, all[1].Servers) != "[b] [a]" {
		t.Errorf("%+v, %v", all, err)
	}
	if k := restricted("a", "b").behind(secret); k != nil {
		t.Errorf("%+v", k)
	}
}
