package storetest

import (
	"maps"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Breakable is a store whose writes fail on demand.
type Breakable struct {
	Store storage.Store
	// FailWrite lets the n-th single write from now on fail, once. The verbs
	// make several writes each; 0 lets all succeed.
	FailWrite func(n int)
	// Dump returns everything that is stored.
	Dump func(t testing.TB) string
}

// RunFaults proves that every verb is all or nothing (B15): whichever of its
// writes fails, it reports an error and leaves the store as it was, and the
// same call succeeds afterwards.
func RunFaults(t *testing.T, open func(t *testing.T) Breakable) {
	verbs := maps.Clone(faultyVerbs)
	maps.Copy(verbs, faultyConnectionVerbs)
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				b := open(t)
				f := newFixture(t, b.Store)
				f.signIn("1", "a")
				verb.prepare(f)
				before := b.Dump(t)

				b.FailWrite(n)
				err := verb.call(f)
				if err == nil {
					if n == 1 {
						t.Fatal("the verb writes nothing")
					}
					return // it has fewer writes than n
				}
				if after := b.Dump(t); after != before {
					t.Fatalf("write %d failed (%v), and something stayed:\n%s\nbefore:\n%s", n, err, after, before)
				}
				b.FailWrite(0)
				f.must(verb.call(f))
				if b.Dump(t) == before {
					t.Fatalf("the second call did nothing")
				}
			}
		})
	}
}

type faultyVerb struct {
	prepare func(*fixture)
	call    func(*fixture) error
}

// faultyVerbs are calls that change something. A verdict other than the one
// that is wanted is an error.
var faultyVerbs = map[string]faultyVerb{
	"CreateClient that evicts": {
		func(f *fixture) { f.register("b") },
		func(f *fixture) error { return f.store.CreateClient(ctx(), f.client("c"), storage.Unused{Max: 1}) },
	},
	"UpdateClient that revokes": {
		func(f *fixture) { f.register("a") },
		func(f *fixture) error {
			return second(f.store.UpdateClient(ctx(), f.client("a"), hash("registration token of a"), true, f.now))
		},
	},
	"DeleteClient that revokes": {
		func(f *fixture) { f.register("a") },
		func(f *fixture) error { return second(f.store.DeleteClient(ctx(), "a", f.now)) },
	},
	"SaveFlow": {
		func(*fixture) {},
		func(f *fixture) error { return wants(storage.OK)(f.store.SaveFlow(ctx(), f.flow("2"), f.now)) },
	},
	"SubmitFlow": {
		func(f *fixture) {
			f.register("b")
			_, err := f.store.SaveFlow(ctx(), f.flow("2"), f.now)
			f.must(err)
		},
		func(f *fixture) error { return wants(storage.OK)(f.store.SubmitFlow(ctx(), f.submission("2", "b"))) },
	},
	"SubmitFlow of somebody unproved that evicts": {
		func(f *fixture) {
			f.register("b")
			f.register("c")
			f.approveUnproved("b", "here", 1)
			_, err := f.store.SaveFlow(ctx(), f.flow("2"), f.now)
			f.must(err)
		},
		func(f *fixture) error {
			sub := f.submission("2", "c")
			sub.Quota = &storage.Quota{Key: hash("here"), Max: 1}
			return wants(storage.OK)(f.store.SubmitFlow(ctx(), sub))
		},
	},
	"ClaimCode": {
		func(f *fixture) { f.approve("2", "a") },
		func(f *fixture) error { return f.claims(f.claim("2", "a"), storage.OK) },
	},
	"ClaimCode that burns": {
		func(f *fixture) { f.approve("2", "a") },
		func(f *fixture) error {
			wrong := f.claim("2", "a")
			wrong.Challenge = "another"
			return f.claims(wrong, storage.ProofFailed)
		},
	},
	"ClaimCode that revokes": {
		func(*fixture) {},
		func(f *fixture) error { return f.claims(f.claim("1", "a"), storage.Replayed) },
	},
	"RotateRefreshToken": {
		func(*fixture) {},
		func(f *fixture) error { return f.rotates(f.rotation("1", "a", 1), storage.OK) },
	},
	"RotateRefreshToken past the most access tokens": {
		func(f *fixture) {
			for n := 1; n < storage.MaxAccessTokens; n++ {
				f.rotate(f.rotation("1", "a", n), storage.OK)
			}
		},
		func(f *fixture) error {
			return f.rotates(f.rotation("1", "a", storage.MaxAccessTokens), storage.OK)
		},
	},
	"RotateRefreshToken that revokes": {
		func(f *fixture) {
			f.rotate(f.rotation("1", "a", 1), storage.OK)
			f.rotate(f.rotation("1", "a", 2), storage.OK)
		},
		func(f *fixture) error { return f.rotates(f.rotation("1", "a", 1), storage.Replayed) },
	},
	"RevokeGrant": {
		func(*fixture) {},
		func(f *fixture) error { return second(f.store.RevokeGrant(ctx(), "g-1", f.now)) },
	},
	"RevokeAccessToken": {
		func(*fixture) {},
		func(f *fixture) error {
			return second(f.store.RevokeAccessToken(ctx(), hash("access 1 0"), issuer, "a"))
		},
	},
	"UseOnce": {
		func(*fixture) {},
		func(f *fixture) error { return second(f.store.UseOnce(ctx(), hash("jti"), f.now.Add(1), f.now)) },
	},
	"PutSiteValue": {
		func(*fixture) {},
		func(f *fixture) error { return f.store.PutSiteValue(ctx(), f.siteValue("a")) },
	},
	"Sweep": {
		func(f *fixture) { f.register("b"); f.after(1000 * 24 * time.Hour) },
		func(f *fixture) error { return second(f.store.Sweep(ctx(), f.now)) },
	},
}
