package accounts

import (
	"testing"
	"time"
)

// A call that needs no decision costs no memory.
func TestCredentialAllocatesNothing(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion")
	v.connectAs("shared:", "shared")
	v.paste(alice, "key-1")
	ctx := t.Context()
	for _, server := range []string{"notion", "shared", "keyed"} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := v.Credential(ctx, alice, server); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", server, n)
		}
	}
}

func BenchmarkCredentialWarm(b *testing.B) {
	v := newVault(b)
	v.connectAs(alice, "notion")
	ctx, now := b.Context(), v.clock.Now()
	v.deps.Now = func() time.Time { return now }
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := v.Credential(ctx, alice, "notion"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
