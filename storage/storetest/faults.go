package storetest

import (
	"maps"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
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
	maps.Copy(verbs, faultyPersonVerbs)
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				b := open(t)
				f := newFixture(t, b.Store)
				f.SignIn("1", "a")
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
				f.Must(verb.call(f))
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
		func(f *fixture) { f.Register("b") },
		func(f *fixture) error {
			return f.Store.CreateClient(suite.Ctx(), f.Client("c"), storage.Unused{Max: 1})
		},
	},
	"UpdateClient that revokes": {
		func(f *fixture) { f.Register("a") },
		func(f *fixture) error {
			return second(f.Store.UpdateClient(suite.Ctx(), f.Client("a"), suite.Hash("registration token of a"), true, f.Now))
		},
	},
	"DeleteClient that revokes": {
		func(f *fixture) { f.Register("a") },
		func(f *fixture) error { return second(f.Store.DeleteClient(suite.Ctx(), "a", f.Now)) },
	},
	"SaveFlow": {
		func(*fixture) {},
		func(f *fixture) error {
			return suite.Wants(storage.OK)(f.Store.SaveFlow(suite.Ctx(), f.Flow("2"), f.Now))
		},
	},
	"SubmitFlow": {
		func(f *fixture) {
			f.Register("b")
			_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("2"), f.Now)
			f.Must(err)
		},
		func(f *fixture) error {
			return suite.Wants(storage.OK)(f.Store.SubmitFlow(suite.Ctx(), f.Submission("2", "b")))
		},
	},
	"SubmitFlow of somebody unproved that evicts": {
		func(f *fixture) {
			f.Register("b")
			f.Register("c")
			f.ApproveUnproved("b", "here", 1)
			_, err := f.Store.SaveFlow(suite.Ctx(), f.Flow("2"), f.Now)
			f.Must(err)
		},
		func(f *fixture) error {
			sub := f.Submission("2", "c")
			sub.Quota = &storage.Quota{Key: suite.Hash("here"), Max: 1}
			return suite.Wants(storage.OK)(f.Store.SubmitFlow(suite.Ctx(), sub))
		},
	},
	"ClaimCode": {
		func(f *fixture) { f.Approve("2", "a") },
		func(f *fixture) error { return f.claims(f.Claim("2", "a"), storage.OK) },
	},
	"ClaimCode that burns": {
		func(f *fixture) { f.Approve("2", "a") },
		func(f *fixture) error {
			wrong := f.Claim("2", "a")
			wrong.Challenge = "another"
			return f.claims(wrong, storage.ProofFailed)
		},
	},
	"ClaimCode that revokes": {
		func(*fixture) {},
		func(f *fixture) error { return f.claims(f.Claim("1", "a"), storage.Replayed) },
	},
	"RotateRefreshToken": {
		func(*fixture) {},
		func(f *fixture) error { return f.rotates(f.Rotation("1", "a", 1), storage.OK) },
	},
	"RotateRefreshToken past the most access tokens": {
		func(f *fixture) {
			for n := 1; n < storage.MaxAccessTokens; n++ {
				f.Rotate(f.Rotation("1", "a", n), storage.OK)
			}
		},
		func(f *fixture) error {
			return f.rotates(f.Rotation("1", "a", storage.MaxAccessTokens), storage.OK)
		},
	},
	"RotateRefreshToken that revokes": {
		func(f *fixture) {
			f.Rotate(f.Rotation("1", "a", 1), storage.OK)
			f.Rotate(f.Rotation("1", "a", 2), storage.OK)
		},
		func(f *fixture) error { return f.rotates(f.Rotation("1", "a", 1), storage.Replayed) },
	},
	"IssueGrant": {
		func(*fixture) {},
		func(f *fixture) error {
			return suite.Wants(storage.OK)(f.Store.IssueGrant(suite.Ctx(), f.ServiceGrant("9", 1)))
		},
	},
	"IssueGrant past the most": {
		func(f *fixture) { f.Must(second(f.Store.IssueGrant(suite.Ctx(), f.ServiceGrant("8", 1)))) },
		func(f *fixture) error {
			return suite.Wants(storage.OK)(f.Store.IssueGrant(suite.Ctx(), f.ServiceGrant("9", 1)))
		},
	},
	"RevokeGrant": {
		func(*fixture) {},
		func(f *fixture) error { return second(f.Store.RevokeGrant(suite.Ctx(), "g-1", f.Now)) },
	},
	"ChangeGrant": {
		func(*fixture) {},
		func(f *fixture) error { return second(f.Store.ChangeGrant(suite.Ctx(), f.Change("1", "delete"))) },
	},
	"RevokeAccessToken": {
		func(*fixture) {},
		func(f *fixture) error {
			return second(f.Store.RevokeAccessToken(suite.Ctx(), suite.Hash("access 1 0"), suite.Issuer, "a", f.Now))
		},
	},
	"UseOnce": {
		func(*fixture) {},
		func(f *fixture) error {
			return second(f.Store.UseOnce(suite.Ctx(), suite.Hash("jti"), f.Now.Add(1), f.Now))
		},
	},
	"PutSiteValue": {
		func(*fixture) {},
		func(f *fixture) error { return f.Store.PutSiteValue(suite.Ctx(), f.SiteValue("a")) },
	},
	"ReplaceSiteValue": {
		func(f *fixture) { f.Must(f.Store.PutSiteValue(suite.Ctx(), f.SiteValue("a"))) },
		func(f *fixture) error {
			v := f.SiteValue("a")
			replaces := v.Text
			v.Text = "another"
			return suite.Wants(storage.OK)(f.Store.ReplaceSiteValue(suite.Ctx(), v, replaces, f.Now))
		},
	},
	"Sweep": {
		func(f *fixture) { f.Register("b"); f.After(1000 * 24 * time.Hour) },
		func(f *fixture) error { return second(f.Store.Sweep(suite.Ctx(), f.Now)) },
	},
}
