package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var connectionTests = map[string]func(*fixture){
	"reads back what was stored": func(f *fixture) {
		c := f.connection("alice", "notion")
		c.ExpiresAt = f.now.Add(time.Hour)
		stored := f.put(c)
		c.Revision = 1
		f.equal(stored, c)
		f.stands(c)
	},
	"unknown": func(f *fixture) {
		c := f.connection("alice", "notion")
		f.noConnection(c)
		f.put(c)
		for _, k := range []storage.ConnectionKey{
			connectionKey("alice", "github"), connectionKey("bob", "notion"), connectionKey("", "notion"),
			{Issuer: otherIssuer, Owner: "alice", Server: "notion"},
		} {
			_, err := f.store.Connection(ctx(), k, f.now)
			f.is(err, storage.ErrNotFound)
		}
		for issuer, id := range map[string]string{otherIssuer: c.ID, issuer: "another"} {
			_, err := f.store.ConnectionByID(ctx(), issuer, id, f.now)
			f.is(err, storage.ErrNotFound)
		}
	},
	"an owner's are listed by server, and only theirs E25": func(f *fixture) {
		for _, server := range []string{"notion", "github", "linear"} {
			f.put(f.connection("alice", server))
			f.put(f.connection("alice2", server+"2"))
		}
		other := f.connection("alice", "elsewhere")
		other.Issuer = otherIssuer
		f.put(other)
		f.equal(f.servers(issuer, "alice"), []string{"github", "linear", "notion"})
		f.equal(f.servers(issuer, "bob"), []string(nil))
		f.equal(f.servers(otherIssuer, "alice"), []string{"elsewhere"})
		f.equal(f.servers(issuer, ""), []string{"github", "github2", "linear", "linear2", "notion", "notion2"})
	},
	"parts of a key do not run together": func(f *fixture) {
		f.put(f.connection("ab", "c"))
		f.noConnection(f.connection("a", "bc"))
		f.equal(f.servers(issuer, "a"), []string(nil))
	},
	"a connection is somebody's": func(f *fixture) {
		for _, spoil := range []func(*storage.Connection){
			func(c *storage.Connection) { c.ID = "" },
			func(c *storage.Connection) { c.Issuer = "" },
			func(c *storage.Connection) { c.Owner = "" },
			func(c *storage.Connection) { c.Server = "" },
		} {
			c := f.connection("alice", "notion")
			spoil(&c)
			if _, v, err := f.store.PutConnection(ctx(), c, f.now); err == nil {
				f.Fatalf("verdict %v for %+v", v, c)
			}
		}
		f.equal(f.servers(issuer, ""), []string(nil))
	},
	"an ID is one connection's": func(f *fixture) {
		alices := f.put(f.connection("alice", "notion"))
		bobs := f.connection("bob", "notion")
		bobs.ID = alices.ID
		if _, v, err := f.store.PutConnection(ctx(), bobs, f.now); err == nil {
			f.Fatalf("verdict %v", v)
		}
		f.stands(alices)
		bobs.Issuer = otherIssuer // a world of its own
		bobs = f.put(bobs)
		f.stands(alices)
		f.stands(bobs)
	},
	"a change needs the revision": func(f *fixture) {
		first := f.put(f.connection("alice", "notion"))
		second := first
		second.State, second.Secret = storage.NeedsReauth, nil
		second = f.put(second)
		f.equal(second.Revision, uint64(2))
		f.stands(second)
		for _, revision := range []uint64{0, 1, 3} {
			late := first
			late.Revision = revision
			got, v, err := f.store.PutConnection(ctx(), late, f.now)
			f.verdict(v, err, storage.Changed)
			f.equal(got, second)
		}
		f.stands(second)
	},
	"a change to what is gone": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		f.disconnect(c.ConnectionKey, true)
		got, v, err := f.store.PutConnection(ctx(), c, f.now)
		f.verdict(v, err, storage.Changed)
		f.equal(got, storage.Connection{})
		f.noConnection(c)
	},
	"a change to what was made anew": func(f *fixture) {
		late := f.put(f.connection("alice", "notion"))
		f.disconnect(late.ConnectionKey, true)
		anew := f.connection("alice", "notion")
		anew.ID = "another"
		anew = f.put(anew)
		f.equal(anew.Revision, late.Revision)
		got, v, err := f.store.PutConnection(ctx(), late, f.now)
		f.verdict(v, err, storage.Changed)
		f.equal(got, anew)
		f.stands(anew)
	},
	"ends at ExpiresAt": func(f *fixture) {
		c := f.put(f.flowConnection("1", "notion"))
		f.after(15*time.Minute - 1)
		f.stands(c)
		f.after(1)
		f.noConnection(c)
		_, v, err := f.store.LeaseConnection(ctx(), c.ConnectionKey, c.Revision, "x", f.now.Add(1), f.now)
		f.verdict(v, err, storage.Unknown)
		_, v, err = f.store.PutConnection(ctx(), c, f.now)
		f.verdict(v, err, storage.Changed)
		f.disconnect(c.ConnectionKey, false)
	},
	"one that ended gives way to a new one": func(f *fixture) {
		old := f.put(f.flowConnection("1", "notion"))
		f.after(time.Hour)
		c := f.connection(old.Owner, "notion")
		c.ID = "another"
		c = f.put(c)
		f.stands(c)
		_, err := f.store.ConnectionByID(ctx(), issuer, old.ID, f.now)
		f.is(err, storage.ErrNotFound)
	},
	"one without an end is kept": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		f.after(1000 * 24 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.stands(c)
	},
}

var leaseTests = map[string]func(*fixture){
	"one holder, until it puts a result K10": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		leased := f.lease(c, "one", storage.OK)
		want := c
		want.Lease, want.LeaseUntil, want.Revision = "one", f.now.Add(time.Minute), 2
		f.equal(leased, want)
		f.stands(want)
		for _, seen := range []storage.Connection{c, leased} {
			f.equal(f.lease(seen, "two", storage.LeaseHeld), want)
			f.equal(f.lease(seen, "one", storage.LeaseHeld), want)
		}
		leased.Secret = []byte("sealed anew")
		done := f.put(leased)
		want.Lease, want.LeaseUntil, want.Revision, want.Secret = "", time.Time{}, 3, leased.Secret
		f.equal(done, want)
		f.lease(done, "two", storage.OK)
	},
	"what was decided on an older revision": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		newer := f.put(c)
		f.equal(f.lease(c, "one", storage.Changed), newer)
		f.stands(newer)
	},
	"one that is neither active nor in doubt": func(f *fixture) {
		for _, state := range []storage.ConnectionState{storage.NeedsReauth, storage.Disconnected} {
			c := f.connection("alice", string(state))
			c.State = state
			c = f.put(c)
			f.equal(f.lease(c, "one", storage.Changed), c)
			f.stands(c)
		}
	},
	"unknown": func(f *fixture) {
		f.equal(f.lease(f.connection("alice", "notion"), "one", storage.Unknown), storage.Connection{})
		f.noConnection(f.connection("alice", "notion"))
	},
	"a lost response leaves it in doubt K11": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		leased := f.lease(c, "one", storage.OK)
		f.after(time.Minute - 1)
		f.lease(leased, "two", storage.LeaseHeld)
		f.after(1)
		doubtful := f.lease(c, "two", storage.LeaseExpired)
		want := leased
		want.State, want.UpdatedAt, want.Revision = storage.InDoubt, f.now, 3
		want.Lease, want.LeaseUntil = "", time.Time{}
		f.equal(doubtful, want)
		f.stands(want)
		f.lease(leased, "three", storage.Changed)

		late, v, err := f.store.PutConnection(ctx(), leased, f.now)
		f.verdict(v, err, storage.Changed)
		f.equal(late, want)
	},
	"one in doubt counts who tries again K11": func(f *fixture) {
		c := f.connection("alice", "notion")
		c.State = storage.InDoubt
		want := f.put(c)
		for range 3 {
			leased := f.lease(want, "one", storage.OK)
			want.Retries++
			want.Revision++
			want.Lease, want.LeaseUntil = "one", f.now.Add(time.Minute)
			f.equal(leased, want)
			f.stands(want)
			f.equal(f.lease(want, "two", storage.LeaseHeld), want)
			f.after(time.Minute)
			want.UpdatedAt, want.Lease, want.LeaseUntil = f.now, "", time.Time{}
			want.Revision++
			f.equal(f.lease(want, "two", storage.LeaseExpired), want) // whoever tried ended in the middle
		}
	},
	"the holder may be late when nobody asked": func(f *fixture) {
		leased := f.lease(f.put(f.connection("alice", "notion")), "one", storage.OK)
		f.after(time.Hour)
		f.stands(f.put(leased))
	},
	"whoever connects again ends a lease": func(f *fixture) {
		leased := f.lease(f.put(f.connection("alice", "notion")), "one", storage.OK)
		again := leased
		again.Secret = []byte("of another sign-in")
		again = f.put(again)
		_, v, err := f.store.PutConnection(ctx(), leased, f.now)
		f.verdict(v, err, storage.Changed)
		f.stands(again)
	},
	"needs a holder and an end": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		for holder, until := range map[string]time.Time{"": f.now.Add(time.Minute), "one": f.now} {
			if _, v, err := f.store.LeaseConnection(ctx(), c.ConnectionKey, c.Revision, holder, until, f.now); err == nil {
				f.Fatalf("verdict %v for holder %q until %v", v, holder, until)
			}
		}
		f.stands(c)
	},
}
