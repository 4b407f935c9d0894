package accounts

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestCredential(t *testing.T) {
	t.Run("not connected", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		for _, call := range [][2]string{{bob, "notion"}, {alice, "github"}, {alice, "shared"}, {alice, "open"}, {alice, "unknown"}, {"", "notion"}, {storage.SharedOwner, "notion"}} {
			v.wantCall(call[0], call[1], "", ErrNotConnected)
		}
	})
	t.Run("pasted keys", func(t *testing.T) {
		v := newVault(t)
		v.paste(alice, "key-1")
		c, err := v.Credential(t.Context(), alice, "keyed")
		if err != nil || len(c.Headers) != 1 || c.Headers[0] != (CredentialHeader{"X-Api-Key", "key-1"}) {
			t.Errorf("%v, %v", c, err)
		}
	})
	t.Run("of another kind than configured", func(t *testing.T) {
		v := newVault(t)
		v.paste(alice, "key-1")
		v.servers["keyed"].Auth.Headers = []config.AuthHeader{{Name: "X-Other-Key"}}
		v.wantCall(alice, "keyed", "", ErrNeedsReauth)
		v.connectAs(alice, "notion")
		v.servers["notion"].Auth.Mode, v.servers["notion"].Auth.Headers = config.PerUserHeaders, []config.AuthHeader{{Name: "Authorization"}}
		v.wantCall(alice, "notion", "", ErrNeedsReauth)
	})
	t.Run("the store is down", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.wantCall(alice, "notion", token, nil)
		v.store.setDown(true)
		v.wantCall(alice, "notion", token, nil) // believed
		v.clock.Advance(cacheTTL + time.Second)
		v.wantCall(alice, "notion", "", errStore)
		v.store.setDown(false)
		v.wantCall(alice, "notion", token, nil)
	})
}

// A call costs a read of the store every few seconds, and opens the
// credentials only when they are others.
func TestCredentialIsRemembered(t *testing.T) {
	v := newVault(t)
	token := v.connectAs(alice, "notion")
	v.wantCall(alice, "notion", token, nil)
	reads := v.store.countReads()
	v.clock.Advance(cacheTTL)
	v.wantCall(alice, "notion", token, nil)
	if n := v.store.countReads() - reads; n != 0 {
		t.Errorf("%d reads while the credential is believed", n)
	}
	first, _ := v.Credential(t.Context(), alice, "notion")
	v.clock.Advance(time.Second)
	second, err := v.Credential(t.Context(), alice, "notion")
	if n := v.store.countReads() - reads; n != 1 || err != nil {
		t.Errorf("%d reads afterwards, %v", n, err)
	}
	if first != second {
		t.Error("the same credentials were opened again")
	}
}

func TestChangesAreNoticed(t *testing.T) {
	v := newVault(t)
	other := v.instance()
	v.connectAs(alice, "notion")
	other.wantCall(alice, "notion", "at-1", nil)
	v.wantCall(alice, "notion", "at-1", nil)

	v.connectAs(alice, "notion")
	v.wantCall(alice, "notion", "at-2", nil) // at once in this process
	v.clock.Advance(cacheTTL + time.Second)
	other.wantCall(alice, "notion", "at-2", nil)

	if err := v.Disconnect(t.Context(), alice, "notion"); err != nil {
		t.Fatal(err)
	}
	v.wantCall(alice, "notion", "", ErrNotConnected)
	v.clock.Advance(cacheTTL + time.Second)
	other.wantCall(alice, "notion", "", ErrNotConnected)
}

// What was read before a change is not remembered after it.
func TestForgetBeatsSlowReader(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	k, now, shared := v.key(alice, v.servers["notion"]), v.clock.Now(), v.deps.Shared
	_, _, generation := shared.connections.Get(k, now)
	h := newCachedConnection(v.servers["notion"], v.record(alice, "notion"))
	shared.Forget(k)
	for _, remember := range []func(storage.ConnectionKey, *cachedConnection, time.Time, uint64){shared.connections.Put, shared.connections.Replace} {
		remember(k, h, now, generation)
		if got, _, _ := shared.connections.Get(k, now); got != nil {
			t.Error("a stale entry is remembered")
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newConnectionCache()
	for i := range 2 * cacheSize {
		k := storage.ConnectionKey{Issuer: testIssuer, Owner: fmt.Sprint("user_id:", i), Server: "notion"}
		c.Put(k, &cachedConnection{}, time.Unix(int64(i), 0), 0)
	}
	if n := c.Len(); n > cacheSize {
		t.Errorf("%d entries", n)
	}
}

// A hundred people call at the same time, and everybody's token ends.
func TestEverybodyGetsTheirOwn_E25(t *testing.T) {
	v := newVault(t)
	other := v.instance()
	v.refresher.pause, other.refresher.pause = v.deps.Shared.pause, other.deps.Shared.pause
	const people, calls = 100, 100
	for i := range people {
		v.connectAs(fmt.Sprint("user_id:", i), "notion")
		v.connectAs(fmt.Sprint("user_id:", i), "github")
	}
	for _, wait := range []time.Duration{0, time.Hour, time.Hour - 30*time.Second} {
		v.clock.Advance(wait)
		var all sync.WaitGroup
		for i := range people {
			for j := range calls {
				all.Go(func() {
					at := v
					if j%2 == 1 {
						at = other
					}
					owner, server := fmt.Sprint("user_id:", i), []string{"notion", "github"}[j/2%2]
					if _, err := at.call(owner, server); err != nil {
						t.Errorf("%s to %s: %v", owner, server, err)
					}
				})
			}
		}
		all.Wait()
	}
	v.deps.Shared.Close()
	other.deps.Shared.Close()
	v.wantNoneReusedEarly()
}

// While the store cannot be reached, a credential goes on for as long as the store
// allows, and while it works. It is not refreshed: nobody could tell the others.
func TestStoreIsAway_E16(t *testing.T) {
	v := newVault(t)
	const life = 20 * time.Second
	short := v.connectAs(alice, "notion", func(c *storage.Connection, opened *secrets) { c.TokenExpiresAt = v.clock.Now().Add(life) })
	long := v.connectAs(bob, "notion")
	v.wantCall(alice, "notion", short, nil)
	v.wantCall(bob, "notion", long, nil)
	asked := len(v.provider.Requests("/token"))
	v.store.setAway(true)
	v.clock.Advance(life - 1) // a refresh is due
	v.wantCall(alice, "notion", short, nil)
	v.landed(alice, "notion")
	v.clock.Advance(1)
	v.wantCall(alice, "notion", "", errAway)
	v.clock.Advance(30*time.Second - life)
	v.wantCall(bob, "notion", long, nil)
	v.clock.Advance(1)
	v.wantCall(bob, "notion", "", errAway)
	if n := len(v.provider.Requests("/token")) - asked; n != 0 {
		t.Errorf("%d requests to the provider without a lease", n)
	}
	v.store.setAway(false)
	v.wantCall(bob, "notion", long, nil)
	if err := v.Disconnect(t.Context(), bob, "notion"); err != nil {
		t.Fatal(err)
	}
	v.store.setAway(true)
	v.wantCall(bob, "notion", "", errAway) // what was disconnected here does not come back
}

// setDown makes reads fail.
func (s *vaultStore) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// setAway makes reads fail as a store does that cannot be reached.
func (s *vaultStore) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// paste gives the owner a connection with a pasted key.
func (v *vaultInstance) paste(owner, key string) {
	v.t.Helper()
	c := storage.ConnectionReplacement{Connection: storage.Connection{ConnectionKey: v.key(owner, v.servers["keyed"])}}
	err := v.save(v.t.Context(), c, storage.Authentication{}, v.seen(c.ConnectionKey), secrets{Headers: []CredentialHeader{{"X-Api-Key", key}}, IssuedAt: v.clock.Now(), Binding: binding{Origin: originOf(v.servers[c.Server])}})
	if err != nil {
		v.t.Fatal(err)
	}
}
