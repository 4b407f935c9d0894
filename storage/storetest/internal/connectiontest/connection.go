package connectiontest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var connectionTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		c := f.Connection("alice", "notion")
		c.ExpiresAt = f.Now.Add(time.Hour)
		stored := f.Put(c)
		c.Revision = 1
		f.Equal(stored, c)
		f.Stored(c)
	},
	"unknown": func(f *fixture) {
		c := f.Connection("alice", "notion")
		f.NoConnection(c)
		f.Put(c)
		for _, k := range []storage.ConnectionKey{
			suite.ConnectionKey("alice", "github"), suite.ConnectionKey("bob", "notion"), suite.ConnectionKey("", "notion"),
			{Issuer: suite.OtherIssuer, Owner: "alice", Server: "notion"},
		} {
			_, err := f.Store.Connection(suite.Ctx(), k, f.Now)
			f.WantError(err, storage.ErrNotFound)
		}
		for issuer, id := range map[string]string{suite.OtherIssuer: c.ID, suite.Issuer: "another"} {
			_, err := f.Store.ConnectionByID(suite.Ctx(), issuer, id, f.Now)
			f.WantError(err, storage.ErrNotFound)
		}
	},
	"an owner's are listed by server, and only theirs E25": func(f *fixture) {
		for _, server := range []string{"notion", "github", "linear"} {
			f.Put(f.Connection("alice", server))
			f.Put(f.Connection("alice2", server+"2"))
		}
		other := f.Connection("alice", "elsewhere")
		other.Issuer = suite.OtherIssuer
		f.Put(other)
		f.Equal(f.Servers(suite.Issuer, "alice"), []string{"github", "linear", "notion"})
		f.Equal(f.Servers(suite.Issuer, "bob"), []string(nil))
		f.Equal(f.Servers(suite.OtherIssuer, "alice"), []string{"elsewhere"})
		f.Equal(f.Servers(suite.Issuer, ""), []string{"github", "github2", "linear", "linear2", "notion", "notion2"})
	},
	"parts of a key do not run together": func(f *fixture) {
		f.Put(f.Connection("ab", "c"))
		f.NoConnection(f.Connection("a", "bc"))
		f.Equal(f.Servers(suite.Issuer, "a"), []string(nil))
	},
	"a connection is somebody's": func(f *fixture) {
		for _, spoil := range []func(*storage.Connection){
			func(c *storage.Connection) { c.ID = "" },
			func(c *storage.Connection) { c.Issuer = "" },
			func(c *storage.Connection) { c.Owner = "" },
			func(c *storage.Connection) { c.Server = "" },
		} {
			c := f.Connection("alice", "notion")
			spoil(&c)
			if _, v, err := f.Store.PutConnection(suite.Ctx(), c, f.Now); err == nil {
				f.Fatalf("verdict %v for %+v", v, c)
			}
		}
		f.Equal(f.Servers(suite.Issuer, ""), []string(nil))
	},
	"an ID is one connection's": func(f *fixture) {
		alices := f.Put(f.Connection("alice", "notion"))
		bobs := f.Connection("bob", "notion")
		bobs.ID = alices.ID
		if _, v, err := f.Store.PutConnection(suite.Ctx(), bobs, f.Now); err == nil {
			f.Fatalf("verdict %v", v)
		}
		f.Stored(alices)
		bobs.Issuer = suite.OtherIssuer // a world of its own
		bobs = f.Put(bobs)
		f.Stored(alices)
		f.Stored(bobs)
	},
	"a change needs the revision": func(f *fixture) {
		first := f.Put(f.Connection("alice", "notion"))
		second := first
		second.State, second.Secret = storage.NeedsReauth, nil
		second = f.Put(second)
		f.Equal(second.Revision, uint64(2))
		f.Stored(second)
		for _, revision := range []uint64{0, 1, 3} {
			late := first
			late.Revision = revision
			got, v, err := f.Store.PutConnection(suite.Ctx(), late, f.Now)
			f.Verdict(v, err, storage.Changed)
			f.Equal(got, second)
		}
		f.Stored(second)
	},
	"a change to what is gone": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		f.Disconnect(c.ConnectionKey, true)
		got, v, err := f.Store.PutConnection(suite.Ctx(), c, f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Equal(got, storage.Connection{})
		f.NoConnection(c)
	},
	"a change to what was made anew": func(f *fixture) {
		late := f.Put(f.Connection("alice", "notion"))
		f.Disconnect(late.ConnectionKey, true)
		anew := f.Connection("alice", "notion")
		anew.ID = "another"
		anew = f.Put(anew)
		f.Equal(anew.Revision, late.Revision)
		got, v, err := f.Store.PutConnection(suite.Ctx(), late, f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Equal(got, anew)
		f.Stored(anew)
	},
	"ends at ExpiresAt": func(f *fixture) {
		c := f.Put(f.FlowConnection("1", "notion"))
		f.After(15*time.Minute - 1)
		f.Stored(c)
		f.After(1)
		f.NoConnection(c)
		_, v, err := f.Store.LeaseConnection(suite.Ctx(), c, "x", f.Now.Add(1), f.Now)
		f.Verdict(v, err, storage.Unknown)
		_, v, err = f.Store.PutConnection(suite.Ctx(), c, f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Disconnect(c.ConnectionKey, false)
	},
	"one that ended gives way to a new one": func(f *fixture) {
		old := f.Put(f.FlowConnection("1", "notion"))
		f.After(time.Hour)
		c := f.Connection(old.Owner, "notion")
		c.ID = "another"
		c = f.Put(c)
		f.Stored(c)
		_, err := f.Store.ConnectionByID(suite.Ctx(), suite.Issuer, old.ID, f.Now)
		f.WantError(err, storage.ErrNotFound)
	},
	"one without an end is kept": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		f.After(1000 * 24 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Stored(c)
	},
}

var leaseTests = map[string]func(*fixture){
	"one holder, until it puts a result K10": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		leased := f.Lease(c, "one", storage.OK)
		want := c
		want.Lease, want.LeaseUntil, want.Revision = "one", f.Now.Add(time.Minute), 2
		f.Equal(leased, want)
		f.Stored(want)
		for _, seen := range []storage.Connection{c, leased} {
			f.Equal(f.Lease(seen, "two", storage.LeaseHeld), want)
			f.Equal(f.Lease(seen, "one", storage.LeaseHeld), want)
		}
		leased.Secret = []byte("sealed anew")
		done := f.Put(leased)
		want.Lease, want.LeaseUntil, want.Revision, want.Secret = "", time.Time{}, 3, leased.Secret
		f.Equal(done, want)
		f.Lease(done, "two", storage.OK)
	},
	"what was decided on an older revision": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		newer := f.Put(c)
		f.Equal(f.Lease(c, "one", storage.Changed), newer)
		f.Stored(newer)
	},
	"one that is neither active nor in doubt": func(f *fixture) {
		for _, state := range []storage.ConnectionState{storage.NeedsReauth, storage.Disconnected} {
			c := f.Connection("alice", string(state))
			c.State = state
			c = f.Put(c)
			f.Equal(f.Lease(c, "one", storage.Changed), c)
			f.Stored(c)
		}
	},
	"unknown": func(f *fixture) {
		f.Equal(f.Lease(f.Connection("alice", "notion"), "one", storage.Unknown), storage.Connection{})
		f.NoConnection(f.Connection("alice", "notion"))
	},
	"a lost response leaves it in doubt K11": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		leased := f.Lease(c, "one", storage.OK)
		f.After(time.Minute - 1)
		f.Lease(leased, "two", storage.LeaseHeld)
		f.After(1)
		doubtful := f.Lease(c, "two", storage.LeaseExpired)
		want := leased
		want.State, want.UpdatedAt, want.Revision = storage.InDoubt, f.Now, 3
		want.Lease, want.LeaseUntil = "", time.Time{}
		f.Equal(doubtful, want)
		f.Stored(want)
		f.Lease(leased, "three", storage.Changed)

		late, v, err := f.Store.PutConnection(suite.Ctx(), leased, f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Equal(late, want)
	},
	"one in doubt counts who tries again K11": func(f *fixture) {
		c := f.Connection("alice", "notion")
		c.State = storage.InDoubt
		want := f.Put(c)
		for range 3 {
			leased := f.Lease(want, "one", storage.OK)
			want.Retries++
			want.Revision++
			want.Lease, want.LeaseUntil = "one", f.Now.Add(time.Minute)
			f.Equal(leased, want)
			f.Stored(want)
			f.Equal(f.Lease(want, "two", storage.LeaseHeld), want)
			f.After(time.Minute)
			want.UpdatedAt, want.Lease, want.LeaseUntil = f.Now, "", time.Time{}
			want.Revision++
			f.Equal(f.Lease(want, "two", storage.LeaseExpired), want) // whoever tried ended in the middle
		}
	},
	"not of what was made anew": func(f *fixture) {
		late := f.Put(f.Connection("alice", "notion"))
		f.Disconnect(late.ConnectionKey, true)
		anew := f.Connection("alice", "notion")
		anew.ID = "another"
		anew = f.Put(anew)
		f.Equal(anew.Revision, late.Revision)
		f.Equal(f.Lease(late, "one", storage.Changed), anew)
		f.Stored(anew)
		f.Lease(anew, "one", storage.OK)
	},
	"the holder may be late when nobody asked": func(f *fixture) {
		leased := f.Lease(f.Put(f.Connection("alice", "notion")), "one", storage.OK)
		f.After(time.Hour)
		f.Stored(f.Put(leased))
	},
	"whoever connects again ends a lease": func(f *fixture) {
		leased := f.Lease(f.Put(f.Connection("alice", "notion")), "one", storage.OK)
		again := leased
		again.Secret = []byte("of another sign-in")
		again = f.Put(again)
		_, v, err := f.Store.PutConnection(suite.Ctx(), leased, f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Stored(again)
	},
	"needs a holder and an end": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		for holder, until := range map[string]time.Time{"": f.Now.Add(time.Minute), "one": f.Now} {
			if _, v, err := f.Store.LeaseConnection(suite.Ctx(), c, holder, until, f.Now); err == nil {
				f.Fatalf("verdict %v for holder %q until %v", v, holder, until)
			}
		}
		f.Stored(c)
	},
}
