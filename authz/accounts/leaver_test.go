package accounts

import (
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// The accounts of a person who was ended are disconnected and revoked once it is
// clear that they do not come back, by whichever instance is there then.
func TestAccountsOfALeaver(t *testing.T) {
	person := storage.Person{Subject: alice, Kind: "oidc", ID: "person"}
	for name, tt := range map[string]struct {
		returns time.Duration // after that they sign in again; 0 for never
		want    []string
	}{
		"does not come back": {0, []string{"access_token at-1", "access_token at-2", "refresh_token rt-1", "refresh_token rt-2"}},
		"comes back":         {leaverPatience - time.Hour, nil},
		"comes back at once": {time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.connectAs(alice, "github")
			v.connectAs(bob, "notion")
			notion, github, others := v.has(alice, "notion"), v.has(alice, "github"), v.has(bob, "notion")
			if err := errors.Join(v.Left(t.Context(), alice), v.Left(t.Context(), "oidc:nobody")); err != nil {
				t.Fatal(err)
			}
			v.clock.Advance(leaverPatience - time.Minute)
			if tt.returns > 0 {
				p := person
				p.Issuer, p.ExpiresAt = v.cfg.Issuer, v.clock.Now().Add(time.Hour)
				if _, verdict, err := v.store.SavePerson(t.Context(), storage.PersonLogin{Person: p}, v.clock.Now()); err != nil || verdict != storage.OK {
					t.Fatal(verdict, err)
				}
			}
			v = v.instance()
			v.revokeDue()
			v.wantRevoked()
			v.wantState(alice, "notion", storage.Active)
			v.clock.Advance(2 * time.Minute)
			v.revokeDue()
			v.told()
			if tt.want == nil {
				v.wantRevoked()
				if got := v.has(alice, "notion") + v.has(alice, "github"); got != notion+github {
					t.Errorf("they have %s, want %s", got, notion+github)
				}
			} else {
				v.wantRevoked(tt.want...)
				if v.has(alice, "notion")+v.has(alice, "github") != "" {
					t.Error("they have accounts still")
				}
			}
			if got := v.has(bob, "notion"); got != others {
				t.Errorf("somebody else has %q, want %q", got, others)
			}
			due, err := v.store.DueRevocations(t.Context(), v.cfg.Issuer, 10, v.clock.Now().Add(30*24*time.Hour), v.clock.Now())
			if err != nil || len(due) != 0 {
				t.Errorf("%d are queued still, %v", len(due), err)
			}
		})
	}
}

// Who comes back and leaves again has all of the time once more.
func TestAccountsOfWhoLeavesTwice(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	ends := func(want time.Time) {
		t.Helper()
		if got, err := v.AccountsEndAt(t.Context(), alice); err != nil || !got.Equal(want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	left := func() time.Time {
		t.Helper()
		if err := v.Left(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		return v.clock.Now().Add(leaverPatience)
	}
	ends(time.Time{})
	first := left()
	ends(first)
	v.clock.Advance(24 * time.Hour)
	p := storage.Person{Subject: alice, Kind: "oidc", ID: "person", Issuer: v.cfg.Issuer, ExpiresAt: v.clock.Now().Add(24 * time.Hour)}
	if _, verdict, err := v.store.SavePerson(t.Context(), storage.PersonLogin{Person: p}, v.clock.Now()); err != nil || verdict != storage.OK {
		t.Fatal(verdict, err)
	}
	ends(time.Time{})
	v.clock.Advance(48 * time.Hour)
	second := left()
	ends(second)
	v.clock.Advance(first.Add(time.Minute).Sub(v.clock.Now()))
	v.revokeDue()
	v.wantState(alice, "notion", storage.Active)
	ends(second)
	v.clock.Advance(second.Add(time.Minute).Sub(v.clock.Now()))
	v.revokeDue()
	v.told()
	v.wantRevoked("access_token at-1", "refresh_token rt-1")
	if v.has(alice, "notion") != "" {
		t.Error("the account is connected still")
	}
}

// A store that fails leaves it for later.
func TestAccountsOfALeaverLater(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	if err := v.Left(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	v.clock.Advance(leaverPatience)
	v.store.down = true
	if err := v.RevokeDue(t.Context()); !errors.Is(err, errStore) {
		t.Errorf("got %v, want %v", err, errStore)
	}
	v.wantState(alice, "notion", storage.Active)
	v.store.down = false
	v.clock.Advance(revocationStep + time.Second)
	v.revokeDue()
	if v.has(alice, "notion") != "" {
		t.Error("the account is connected still")
	}
}
