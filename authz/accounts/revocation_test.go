package accounts

import (
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// formerClient makes a connection one of the client that we were before.
func formerClient(_ *storage.Connection, s *secrets) { s.Binding.ClientID = "former" }

// formerProvider makes a connection one of the provider before.
func formerProvider(c *storage.Connection, s *secrets) {
	c.Provider, s.Binding.Provider = "https://former.example", "https://former.example"
}

func withSecret(_ *storage.Connection, s *secrets) { s.Binding.AuthMethod = oauth.AuthSecretBasic }

// told waits until what is due was told.
func (v *vaultInstance) told() {
	v.t.Helper()
	v.deps.Shared.revocations.Wait()
	v.revokeDue()
}

func TestReplaced_K20(t *testing.T) {
	type change = func(*storage.Connection, *secrets)
	for name, tt := range map[string]struct {
		old, replacement, other change
		want                    []string
	}{
		"same client":                       {},
		"another client":                    {old: formerClient, want: []string{"refresh_token rt-1", "access_token at-1"}},
		"another provider":                  {old: formerProvider, want: []string{"refresh_token rt-1", "access_token at-1"}},
		"another client that has a secret":  {old: func(c *storage.Connection, s *secrets) { formerClient(c, s); withSecret(c, s) }},
		"without a way":                     {old: func(c *storage.Connection, s *secrets) { formerClient(c, s); withoutRevocation(c, s) }},
		"another has the former client too": {old: formerClient, other: formerClient},
		"another is of no use": {
			old: formerClient, want: []string{"refresh_token rt-1", "access_token at-1"},
			other: func(c *storage.Connection, s *secrets) { formerClient(c, s); c.Scopes = nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			connected := func(v *vaultInstance) {
				t.Helper()
				v.connectAs(alice, "notion", given(tt.old)...)
				if tt.other == nil {
					return
				}
				v.connectAs(alice, "github", tt.other)
				if c := v.record(alice, "github"); c.Scopes == nil {
					c.State = storage.NeedsReauth
					v.tamper(c)
				}
			}
			t.Run("by another", func(t *testing.T) {
				v := newVault(t)
				connected(v)
				token := v.connectAs(alice, "notion", given(tt.replacement)...)
				v.told()
				v.wantRevoked(tt.want...)
				v.wantCall(alice, "notion", token, nil)
			})
			t.Run("by what a flow connected", func(t *testing.T) {
				v := newVault(t)
				connected(v)
				v.identify(alice)
				token := v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
				if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.OK {
					t.Fatal(verdict)
				}
				v.told()
				v.wantRevoked(tt.want...)
				v.wantAdopted(alice, "notion", token)
			})
		})
	}
	t.Run("at once", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion", formerClient)
		v.connectAs(alice, "notion")
		v.deps.Shared.revocations.Wait()
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("or never", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		v.connectAs(flowOwner, "notion", endsIn(v, time.Hour))
		if adopted := v.adopt(alice); adopted[0].Revokes != nil || adopted[0].OnExpiry != nil {
			t.Errorf("tokens are kept that nobody will send: %+v", adopted)
		}
	})
	t.Run("while the provider is down", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion", formerClient)
		v.provider.Fail(oauthtest.Down)
		v.connectAs(alice, "notion")
		v.told()
		v.wantRevoked()
		v.clock.Advance(revocationStep)
		v.instance().revokeDue()
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("what is damaged", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion", formerClient)
		c := v.record(alice, "notion")
		c.Secret = []byte("nonsense")
		v.tamper(c)
		token := v.connectAs(alice, "notion")
		v.told()
		v.wantRevoked()
		v.wantCall(alice, "notion", token, nil)
	})
}

func given(change func(*storage.Connection, *secrets)) []func(*storage.Connection, *secrets) {
	if change == nil {
		return nil
	}
	return []func(*storage.Connection, *secrets){change}
}

// A provider may, when one token is revoked, revoke all that the person gave
// the client: nothing but disconnecting is to make that happen.
func TestRevocationSparesWhatIsWanted(t *testing.T) {
	for name, act := range map[string]func(*vaultInstance){
		"connected again": func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			v.connectAs(alice, "notion")
		},
		"connected again, and denied": func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
			v.disconnect(flowOwner, "notion")
		},
		"connected again in a flow that nobody finished": func(v *vaultInstance) {
			v.connectAs(alice, "notion")
			v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
			v.expire(time.Minute)
		},
		"began anew": func(v *vaultInstance) {
			v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
			v.sweep(time.Minute)
			v.told() // and while another flow is under way
			v.connectAs(alice, "notion")
			v.expire(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			act(v)
			v.told()
			v.clock.Advance(revocationPatience)
			v.told()
			v.wantRevoked()
		})
	}
}

func TestNobodyFinishesTheFlow_K20(t *testing.T) {
	t.Run("the provider is told, after a while", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
		v.sweep(time.Minute)
		v.clock.Advance(secondThoughts - time.Second)
		v.told()
		v.wantRevoked()
		v.clock.Advance(time.Second)
		v.told()
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("and what came later too", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(flowOwner, "notion", endsIn(v, -time.Minute))
		v.expire(0)
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("not of what somebody else wants", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
		v.connectAs(bob, "notion")
		v.expire(time.Minute)
		v.wantRevoked("refresh_token rt-1", "access_token at-1")
	})
	t.Run("not of nobody's", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Minute), func(_ *storage.Connection, s *secrets) { s.Person = "anonymous:c" })
		v.expire(time.Minute)
		v.wantRevoked()
	})
	t.Run("not of one that was finished", func(t *testing.T) {
		v := newVault(t)
		v.identify(alice)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
		if verdict := v.submit(alice, v.adopt(alice)); verdict != storage.OK {
			t.Fatal(verdict)
		}
		v.expire(time.Minute)
		v.wantRevoked()
	})
	t.Run("the store fails", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(flowOwner, "notion", endsIn(v, time.Minute))
		v.sweep(time.Minute)
		v.clock.Advance(secondThoughts)
		v.store.setDown(true)
		if err := v.RevokeDue(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("told without knowing whether it may: %v, want %v", err, errStore)
		}
		v.wantRevoked()
	})
}

// sweep lets time pass and removes what ended.
func (v *vaultInstance) sweep(after time.Duration) {
	v.t.Helper()
	v.clock.Advance(after)
	if _, err := v.store.Sweep(v.t.Context(), v.clock.Now()); err != nil {
		v.t.Fatal(err)
	}
}

// expire lets time pass until what ended is revoked, if it is.
func (v *vaultInstance) expire(after time.Duration) {
	v.t.Helper()
	v.sweep(after)
	v.clock.Advance(secondThoughts)
	v.told()
}
