package accounts

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Records that were moved or changed in the database.
func TestDamagedRecords_K14_M02(t *testing.T) {
	tests := map[string]func(v *vaultInstance, victim, thief storage.Connection) storage.Connection{
		"K14 another person's": func(_ *vaultInstance, victim, thief storage.Connection) storage.Connection {
			thief.Secret = victim.Secret
			return thief
		},
		"K14 another person's, ID and all": func(v *vaultInstance, victim, thief storage.Connection) storage.Connection {
			if err := v.Disconnect(v.t.Context(), victim.Owner, victim.Server); err != nil {
				v.t.Fatal(err)
			}
			if _, _, err := v.store.Disconnect(v.t.Context(), thief, nil, v.clock.Now()); err != nil {
				v.t.Fatal(err)
			}
			thief.Secret, thief.ID, thief.Revision = victim.Secret, victim.ID, 0
			return thief
		},
		"one's own for another server": func(v *vaultInstance, _, thief storage.Connection) storage.Connection {
			v.connectAs(thief.Owner, "github")
			thief.Secret = v.record(thief.Owner, "github").Secret
			return thief
		},
		"an older one, from another request": func(v *vaultInstance, _, thief storage.Connection) storage.Connection {
			if err := v.Disconnect(v.t.Context(), thief.Owner, thief.Server); err != nil {
				v.t.Fatal(err)
			}
			v.connectAs(thief.Owner, thief.Server)
			old := thief.Secret
			thief = v.record(thief.Owner, thief.Server)
			thief.Secret = old
			return thief
		},
		"cut off": func(_ *vaultInstance, _, thief storage.Connection) storage.Connection {
			thief.Secret = thief.Secret[:len(thief.Secret)-1]
			return thief
		},
		"emptied": func(_ *vaultInstance, _, thief storage.Connection) storage.Connection {
			thief.Secret = nil
			return thief
		},
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs(alice, "notion")
			v.connectAs(bob, "notion")
			changed := tamper(v, v.record(alice, "notion"), v.record(bob, "notion"))
			v.tamper(changed)
			v.wantCall(bob, "notion", "", ErrDamaged)
			if got, err := v.refusedAt(bob, "notion", "at-2"); !errors.Is(err, ErrDamaged) || got != "" {
				t.Errorf("%q, %v", got, err)
			}
			v.wantAudit()
			if n := len(v.provider.Refreshes()); n != 0 {
				t.Errorf("%d refreshes", n)
			}
			// The person is not stuck with it.
			v.connectAs(bob, "notion")
			if _, err := v.call(bob, "notion"); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("every bit", func(t *testing.T) {
		v := newVault(t)
		v.connectAs(alice, "notion")
		sealed := v.record(alice, "notion").Secret
		for i := range len(sealed) * 8 {
			c := v.record(alice, "notion")
			c.Secret = append([]byte(nil), sealed...)
			c.Secret[i/8] ^= 1 << (i % 8)
			v.tamper(c)
			if got, err := v.call(alice, "notion"); !errors.Is(err, ErrDamaged) || got != "" {
				t.Fatalf("bit %d: %q, %v", i, got, err)
			}
		}
	})
}

// tamper changes the database behind our back.
func (v *vaultInstance) tamper(c storage.Connection) {
	v.t.Helper()
	if _, verdict, err := v.store.Store.PutConnection(context.Background(), c, v.clock.Now()); err != nil || verdict != storage.OK {
		v.t.Fatalf("got %v, error %v; want %v", verdict, err, storage.OK)
	}
	v.clock.Advance(cacheTTL + time.Second)
}

func (v *vaultInstance) wantAudit() {
	v.t.Helper()
	for _, entry := range v.logs.All() {
		if entry.Level == zapcore.ErrorLevel && entry.ContextMap()["event"] == "record.damaged" {
			return
		}
	}
	v.t.Error("no line for an audit")
}
