package accounts

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"go.uber.org/zap/zaptest/observer"
)

func (v *vaultInstance) disconnect(owner, server string) {
	v.t.Helper()
	if err := v.Disconnect(v.t.Context(), owner, server); err != nil {
		v.t.Fatal(err)
	}
	v.deps.Shared.revocations.Wait()
}

func (v *vaultInstance) revokeDue() {
	v.t.Helper()
	if err := v.RevokeDue(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
}

func TestDisconnect_K20(t *testing.T) {
	t.Run("here and there", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		bobs := v.connectAs(bob, "notion")
		v.disconnect(alice, "notion")
		v.wantCall(alice, "notion", "", ErrNotConnected)
		v.wantCall(bob, "notion", bobs, nil)
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
		v.clock.Advance(time.Hour)
		v.revokeDue()
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("what a refresh brought meanwhile", func(t *testing.T) {
		v := newVault(t)
		token := v.connectAs(alice, "notion")
		v.store.afterRead = func() { v.wantRefused(alice, "notion", token, "at-2", nil) }
		v.disconnect(alice, "notion")
		v.wantCall(alice, "notion", "", ErrNotConnected)
		v.wantRevoked("refresh_token rt-2", "access_token at-2")
	})
	t.Run("what was connected meanwhile", func(t *testing.T) {
		v := newVault(t)
		v.store.afterRead = func() { v.connectAs(alice, "notion") }
		v.disconnect(alice, "notion")
		v.wantCall(alice, "notion", "", ErrNotConnected)
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("here while the provider is down", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.provider.Fail(oauthtest.Down)
		v.disconnect(alice, "notion")
		v.wantCall(alice, "notion", "", ErrNotConnected)
		v.wantRevoked()
		v.revokeDue() // not yet again
		v.wantRevoked()
		v.clock.Advance(revocationStep)
		restarted := v.instance()
		restarted.revokeDue()
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("with pauses that grow", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		down := make([]oauthtest.Fault, 6)
		for i := range down {
			down[i] = oauthtest.Down
		}
		v.provider.Fail(down...)
		v.disconnect(alice, "notion") // try 1
		tried := []int{1}
		for i := 2; i < 40; i++ {
			before := v.provider.PendingFaults()
			v.clock.Advance(revocationStep)
			v.revokeDue()
			if v.provider.PendingFaults() < before {
				tried = append(tried, i)
			}
		}
		if want := []int{1, 2, 4, 8, 16, 32}; !slices.Equal(tried, want) {
			t.Errorf("told at %v, want %v", tried, want)
		}
	})
	t.Run("for a week at most", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.provider.Fail(oauthtest.Down)
		v.disconnect(alice, "notion")
		v.clock.Advance(revocationPatience)
		v.revokeDue()
		v.wantRevoked()
	})
	t.Run("a refusal is final", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		f := oauthtest.Refusal(http.StatusBadRequest, "unsupported_token_type")
		v.provider.Fail(f, f, f, f) // each token, with the hint and without
		v.disconnect(alice, "notion")
		v.clock.Advance(revocationStep)
		v.revokeDue()
		v.wantRevoked()
	})
	t.Run("where the provider has no way", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion", withoutRevocation)
		v.disconnect(alice, "notion")
		v.revokeDue()
		v.wantRevoked()
		v.paste(alice, "key-1")
		v.disconnect(alice, "keyed")
		v.wantCall(alice, "keyed", "", ErrNotConnected)
	})
	t.Run("for a server that is gone", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		s := v.servers["notion"]
		delete(v.servers, "notion")
		v.disconnect(alice, "notion")
		v.servers["notion"] = s
		v.wantCall(alice, "notion", "", ErrNotConnected)
		v.wantRevoked()
	})
	t.Run("for a server that is gone, but needs nothing of it", func(t *testing.T) {
		for name, change := range map[string]func(*storage.Connection, *secrets){
			"public client":         func(*storage.Connection, *secrets) {},
			"registered, no secret": formerClient,
			"registered":            func(c *storage.Connection, s *secrets) { formerClient(c, s); withSecret(c, s) },
		} {
			t.Run(name, func(t *testing.T) {
				v := newVault(t)
				v.deps.Egress = egress.New(egress.Options{Loopback: true})
				registered := registration{Credentials: client.Credentials{ID: "former", Secret: "s"}}
				if err := v.plantClient(t.Context(), v.servers["notion"], v.provider.URL, registered, time.Time{}); err != nil {
					t.Fatal(err)
				}
				v.connectAs(alice, "notion", change)
				delete(v.servers, "notion")
				v.disconnect(alice, "notion")
				v.wantRevoked("refresh_token rt-1", "access_token at-1")
				v.wantWarned("notion", 0)
			})
		}
	})
	t.Run("for a server that is gone, with what it takes", func(t *testing.T) {
		for name, change := range map[string]func(*storage.Connection, *secrets){
			"the secret":   withSecret,
			"its own host": func(*storage.Connection, *secrets) {}, // only the operator's to allow
		} {
			t.Run(name, func(t *testing.T) {
				v := newVault(t)
				v.connectAs(alice, "notion", change)
				v.connectAs(bob, "notion", change)
				s := v.servers["notion"]
				delete(v.servers, "notion")
				v.disconnect(alice, "notion")
				v.disconnect(bob, "notion")
				v.clock.Advance(revocationStep)
				v.revokeDue()
				v.revokeDue()
				v.wantRevoked()
				v.wantWarned("notion", 1)
				v.servers["notion"] = s
				v.clock.Advance(revocationStep)
				v.revokeDue() // try 3, which is left out
				v.wantRevoked()
				v.clock.Advance(revocationStep)
				v.revokeDue()
				if n := len(v.provider.Revocations()); n != 4 {
					t.Errorf("%d tokens revoked after the server came back", n)
				}
			})
		}
	})
	t.Run("what is damaged", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		c := v.record(alice, "notion")
		c.Secret = []byte("nonsense")
		v.tamper(c)
		v.disconnect(alice, "notion")
		v.wantCall(alice, "notion", "", ErrNotConnected)
	})
	t.Run("not what is everybody's", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(storage.SharedOwner, "shared")
		v.disconnect(alice, "shared")
		if _, err := v.Credential(t.Context(), alice, "shared"); err != nil {
			t.Error(err)
		}
		v.disconnect(storage.SharedOwner, "shared")
		v.wantCall(alice, "shared", "", ErrNotConnected)
	})
	t.Run("requests first", func(t *testing.T) {
		v := newVault(t)
		state := storage.ConnectState{
			Hash: storage.HashOf("state"), ConnectionKey: v.key(alice, v.servers["notion"]), Browser: testBrowser,
			ExpiresAt: v.clock.Now().Add(time.Minute),
		}
		if err := v.store.SaveConnectState(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		v.disconnect(alice, "notion") // also where nothing is connected yet
		if _, err := v.Finish(t.Context(), Answer{State: "state", Browser: testBrowser, Code: "code"}); problemOf(err) != RequestEnded {
			t.Errorf("a late Answer: %v", err)
		}
	})
	t.Run("the store fails", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.store.setDown(true)
		if err := v.Disconnect(t.Context(), alice, "notion"); !errors.Is(err, errStore) {
			t.Error(err)
		}
	})
}

// wantWarned wants this many warnings that a provider was not told.
func (v *vaultInstance) wantWarned(server string, want int) {
	v.t.Helper()
	warnings := v.logs.FilterLevelExact(zapcore.WarnLevel).Filter(func(e observer.LoggedEntry) bool { return e.ContextMap()["server"] == server })
	if n := warnings.Len(); n != want {
		v.t.Errorf("%d warnings, want %d: %v", n, want, warnings.All())
	}
}
