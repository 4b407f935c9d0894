package accounts

import (
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

// vaultMachine does whatever can happen to people's connections, in any order,
// on two instances that share a store. At every step:
//   - a call carries its owner's token for its server and account there, or none;
//   - what was disconnected yields nothing, at once where it was done and
//     within seconds elsewhere;
//   - a token is nobody's before it is stored;
//   - no refresh token is sent twice while its access token works, unless the
//     provider had said that it did nothing.
type vaultMachine struct {
	*vaultInstance
	instances []*vaultInstance
	// ended is when a connection was disconnected, and on which instance.
	ended map[storage.ConnectionKey]ending
}

type ending struct {
	at time.Time
	on int
}

var (
	people  = []string{"user_id:a", "user_id:b", "anonymous:c"}
	servers = []string{"notion", "github", "notion/work", "notion/home"}
)

func (m *vaultMachine) anyone(t *rapid.T) (owner, server string) {
	return rapid.SampledFrom(people).Draw(t, "owner"), rapid.SampledFrom(servers).Draw(t, "server")
}

func (m *vaultMachine) instance(t *rapid.T) (*vaultInstance, int) {
	i := rapid.IntRange(0, len(m.instances)-1).Draw(t, "instance")
	return m.instances[i], i
}

// check judges the outcome of a call that was made then.
func (m *vaultMachine) check(t *rapid.T, on int, then time.Time, owner, server string, c *Credential, err error) {
	if (c == nil) == (err == nil) {
		t.Fatalf("%s to %s: %v and %v", owner, server, c, err)
	}
	if c != nil {
		if got := m.accountOf(c); got != owner+" "+server {
			t.Fatalf("%s to %s: a token of %q", owner, server, got)
		}
		if e, ended := m.ended[m.keyOf(owner, server)]; ended && (e.on == on || then.Sub(e.at) > cacheTTL) {
			t.Fatalf("%s to %s: a token of a connection that was ended", owner, server)
		}
		return
	}
	for _, known := range []error{ErrNotConnected, ErrNeedsReauth, ErrRefused, ErrUnavailable, errStore} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("%s to %s: %v", owner, server, err)
}

// quiet waits for what goes on in the background.
func (m *vaultMachine) quiet() {
	for _, v := range m.instances {
		for _, owner := range people {
			for _, server := range servers {
				v.landed(owner, server)
			}
		}
		v.deps.Shared.refreshes.Wait()
		v.deps.Shared.revocations.Wait()
	}
}

func (m *vaultMachine) Connect(t *rapid.T) {
	owner, server := m.anyone(t)
	v, _ := m.instance(t)
	var change []func(*storage.Connection, *secrets)
	if rapid.IntRange(0, 5).Draw(t, "without refresh token") == 0 {
		change = append(change, withoutRefresh)
	}
	m.StoreRecovers(t)
	v.connectAs(owner, server, change...)
	delete(m.ended, m.keyOf(owner, server))
}

func (m *vaultMachine) Call(t *rapid.T) {
	owner, server := m.anyone(t)
	v, on := m.instance(t)
	then := m.clock.Now()
	c, err := v.Credential(t.Context(), owner, server)
	m.check(t, on, then, owner, server, c, err)
	m.quiet()
}

func (m *vaultMachine) CallAndBeRefused(t *rapid.T) {
	owner, server := m.anyone(t)
	v, on := m.instance(t)
	then := m.clock.Now()
	c, err := v.Credential(t.Context(), owner, server)
	m.check(t, on, then, owner, server, c, err)
	if err == nil {
		fresh, err := v.Refused(t.Context(), owner, server, c)
		m.check(t, on, then, owner, server, fresh, err)
		if sameCredential(fresh, c) {
			t.Fatal("the refused token again")
		}
	}
	m.quiet()
}

// EverybodyCalls is many calls at the same time, on both instances.
func (m *vaultMachine) EverybodyCalls(t *rapid.T) {
	type outcome struct {
		on            int
		owner, server string
		c             *Credential
		err           error
	}
	var mu sync.Mutex
	var outcomes []outcome
	var calls sync.WaitGroup
	then := m.clock.Now()
	for range rapid.IntRange(2, 12).Draw(t, "calls") {
		owner, server := m.anyone(t)
		v, on := m.instance(t)
		calls.Go(func() {
			c, err := v.Credential(t.Context(), owner, server)
			mu.Lock()
			defer mu.Unlock()
			outcomes = append(outcomes, outcome{on, owner, server, c, err})
		})
	}
	calls.Wait()
	m.quiet()
	for _, o := range outcomes {
		m.check(t, o.on, then, o.owner, o.server, o.c, o.err)
	}
}

func (m *vaultMachine) Disconnect(t *rapid.T) {
	owner, server := m.anyone(t)
	v, on := m.instance(t)
	_, _ = v.Credential(t.Context(), owner, server) // remembered, if there is one
	m.quiet()
	if err := v.Disconnect(t.Context(), owner, server); err != nil {
		t.Fatal(err)
	}
	m.quiet()
	if c, err := v.Credential(t.Context(), owner, server); !errors.Is(err, ErrNotConnected) {
		t.Fatalf("disconnected, and yet: %v, %v", c, err)
	}
	m.ended[m.keyOf(owner, server)] = ending{m.clock.Now(), on}
}

// Rename has a connection called otherwise, also while it is refreshed elsewhere: it
// takes no token from anybody.
func (m *vaultMachine) Rename(t *rapid.T) {
	owner, server := m.anyone(t)
	v, on := m.instance(t)
	then := m.clock.Now()
	err := v.Rename(t.Context(), owner, server, rapid.SampledFrom([]string{"", "office", "Büro"}).Draw(t, "label"))
	for _, known := range []error{ErrNotConnected, ErrUnavailable, errStore} {
		if errors.Is(err, known) {
			err = nil
		}
	}
	if err != nil {
		t.Fatalf("renaming %s of %s: %v", server, owner, err)
	}
	c, err := v.Credential(t.Context(), owner, server)
	m.check(t, on, then, owner, server, c, err)
	m.quiet()
}

func (m *vaultMachine) TimePasses(t *rapid.T) {
	m.clock.Advance(rapid.SampledFrom([]time.Duration{
		time.Second, 3 * time.Second, cacheTTL + time.Second, retryPause, 30 * time.Second, leaseTime, 50 * time.Minute, time.Hour,
	}).Draw(t, "time"))
}

func (m *vaultMachine) ProviderFails(t *rapid.T) {
	kinds := map[string]oauthtest.Fault{
		"cannot": oauthtest.Down, "lost before": oauthtest.LostBefore, "lost after": oauthtest.LostAfter, "garbage": oauthtest.Garbage,
		"invalid_grant": oauthtest.Refusal(400, "invalid_grant"), "401": oauthtest.Refusal(401, ""),
	}
	var faults []oauthtest.Fault
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"cannot", "lost before", "lost after", "garbage", "invalid_grant", "401"}), 1, 4).Draw(t, "faults") {
		faults = append(faults, kinds[name])
	}
	m.provider.Fail(faults...)
}

// ServerAnswers changes what the servers say when they are asked about a
// credential that they refused.
func (m *vaultMachine) ServerAnswers(t *rapid.T) {
	m.serverAnswers(rapid.SampledFrom([]int{200, 401, 503}).Draw(t, "status"))
}

// ProviderForgets ends somebody's tokens at the provider.
func (m *vaultMachine) ProviderForgets(t *rapid.T) {
	m.provider.DropRefreshTokens()
}

// StoreFails loses the next results, as a crash before the commit does, or
// their confirmations.
func (m *vaultMachine) StoreFails(t *rapid.T) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	n := rapid.IntRange(1, 4).Draw(t, "times")
	if rapid.Bool().Draw(t, "after the commit") {
		m.store.losePuts = n
	} else {
		m.store.failPuts = n
	}
}

func (m *vaultMachine) StoreRecovers(*rapid.T) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	m.store.losePuts, m.store.failPuts = 0, 0
}

// Restart replaces an instance by one that remembers nothing.
func (m *vaultMachine) Restart(t *rapid.T) {
	v, i := m.instance(t)
	v.deps.Shared.Close()
	m.instances[i] = v.instance()
}

// Reload replaces the configuration of an instance: what it remembers stays.
func (m *vaultMachine) Reload(t *rapid.T) {
	v, i := m.instance(t)
	reloaded := v.instance()
	reloaded.deps.Shared = v.deps.Shared
	m.instances[i] = reloaded
}

func (m *vaultMachine) Check(t *rapid.T) {
	if tokens := m.provider.ReusedEarly(); len(tokens) > 0 {
		t.Fatalf("sent twice: %v", tokens)
	}
}

func TestVaultMachine(t *testing.T) {
	v := newVault(t)
	rapid.Check(t, func(t *rapid.T) {
		// One provider serves all rounds, and forgets everything in between.
		v.store.Store = memstore.New()
		v.store.failPuts, v.store.losePuts = 0, 0
		v.provider.Reset()
		m := &vaultMachine{vaultInstance: v, instances: []*vaultInstance{v.instance(), v.instance()}, ended: map[storage.ConnectionKey]ending{}}
		defer func() {
			for _, v := range m.instances {
				v.deps.Shared.Close()
			}
		}()
		t.Repeat(rapid.StateMachineActions(m))
	})
}
