package connectiontest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var replaceTests = map[string]func(*fixture){
	"one that takes another's place queues the revocation": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		c.Secret = []byte("of another sign-in")
		c = f.Replace(f.Revoking(c, "1"))
		f.Stored(c)
		f.Equal(f.Due(10), []string{"1"})
	},
	"one that is late queues nothing": func(f *fixture) {
		late := f.Put(f.Connection("alice", "notion"))
		newer := f.Put(late)
		_, v, err := f.Store.ReplaceConnection(suite.Ctx(), f.Revoking(late, "1"), f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Stored(newer)
		f.Equal(f.Due(10), []string(nil))
	},
	"one that is adopted queues the revocation of the owner's": func(f *fixture) {
		old := f.Put(f.Connection(suite.Alice.Subject, "notion"))
		moved := f.Adopted(f.Connects("1", "notion"))
		moved.ID = old.ID
		f.submitsAll("1", storage.OK, f.Revoking(moved, "1"))
		moved.Revision = 2
		f.Stored(moved)
		f.Equal(f.Due(10), []string{"1"})
	},
	"one that is not adopted queues nothing": func(f *fixture) {
		c := f.Connects("1", "notion")
		f.Put(c)
		f.submitsAll("1", storage.Changed, f.Revoking(f.Adopted(c), "1"))
		f.Equal(f.Due(10), []string(nil))
	},
}

var usesUpTests = map[string]func(*fixture){
	"a connection uses something up": func(f *fixture) {
		c := f.Replace(f.Using(f.Connection("alice", "notion"), "link"))
		f.Stored(c)
		f.Used("link", true)
		first, err := f.Store.UseOnce(suite.Ctx(), storage.HashOf("link"), f.Now.Add(time.Hour), f.Now)
		f.Must(err)
		f.Equal(first, false)
		f.After(time.Minute - 1)
		f.Used("link", true)
		f.After(1)
		f.Used("link", false)
		f.Replace(f.Using(c, "link"))
	},
	"nothing is connected with what was used": func(f *fixture) {
		_, err := f.Store.UseOnce(suite.Ctx(), storage.HashOf("link"), f.Now.Add(time.Hour), f.Now)
		f.Must(err)
		none := f.Using(f.Connection("bob", "notion"), "link")
		revocation := f.Revocation("1")
		none.Revokes = &revocation
		got, v, err := f.Store.ReplaceConnection(suite.Ctx(), none, f.Now)
		f.Verdict(v, err, storage.AlreadyUsed)
		f.Equal(got, storage.Connection{})
		f.NoConnection(none.Connection)
		c := f.Put(f.Connection("alice", "notion"))
		late := f.Using(c, "link")
		late.Revokes = &revocation
		late.Secret = []byte("of another sign-in")
		for range 2 {
			got, v, err = f.Store.ReplaceConnection(suite.Ctx(), late, f.Now)
			f.Verdict(v, err, storage.AlreadyUsed)
			f.Equal(got, c)
			f.Stored(c)
			late.Revision = 7
		}
		f.Equal(f.Due(10), []string(nil))
	},
	"one that is late uses nothing up": func(f *fixture) {
		late := f.Put(f.Connection("alice", "notion"))
		newer := f.Put(late)
		_, v, err := f.Store.ReplaceConnection(suite.Ctx(), f.Using(late, "link"), f.Now)
		f.Verdict(v, err, storage.Changed)
		f.Used("link", false)
		f.Replace(f.Using(newer, "link"))
	},
	"one of several connections uses it up": func(f *fixture) {
		for round := range suite.Rounds {
			f.Race(func(n int) storage.Verdict {
				c := f.Connection(fmt.Sprint(round, " ", n), "notion")
				_, v, err := f.Store.ReplaceConnection(suite.Ctx(), f.Using(c, fmt.Sprint("link ", round)), f.Now)
				return f.Raced(v, err, storage.OK, storage.AlreadyUsed)
			})
			f.Equal(len(f.Servers(suite.Issuer, "")), round+1)
		}
	},
}

var expiryTests = map[string]func(*fixture){
	"one that expires is queued when it is swept, once": func(f *fixture) {
		c := f.Put(f.Abandoned("1", "notion"))
		f.Stored(c)
		f.After(15*time.Minute - time.Second)
		f.sweeps(false)
		f.Equal(f.Due(10), []string(nil))
		f.After(time.Second)
		f.NoConnection(c)
		f.Equal(f.Due(10), []string(nil))
		f.sweeps(true)
		f.Equal(f.Due(10), []string{"abandoned 1"})
		f.Must(f.Store.EndRevocation(suite.Ctx(), "abandoned 1"))
		f.sweeps(false)
		f.After(time.Hour)
		f.Equal(f.Due(10), []string(nil))
	},
	"one that expires is queued when another takes its place": func(f *fixture) {
		f.Put(f.Abandoned("1", "notion"))
		f.After(15 * time.Minute)
		c := f.Put(f.FlowConnection("1", "notion"))
		f.Equal(f.Due(10), []string{"abandoned 1"})
		f.Stored(c)
	},
	"one that expires is queued when it is ended": func(f *fixture) {
		c := f.Put(f.Abandoned("1", "notion"))
		f.After(15 * time.Minute)
		f.Disconnect(c.ConnectionKey, false)
		f.Equal(f.Due(10), []string{"abandoned 1"})
	},
	"one that comes too late is queued": func(f *fixture) {
		c := f.Abandoned("1", "notion")
		f.After(time.Hour)
		f.Put(c)
		f.NoConnection(c)
		f.sweeps(true)
		f.Equal(f.Due(10), []string{"abandoned 1"})
	},
	"not one that was adopted, ended, changed or refused": func(f *fixture) {
		adopted := f.Put(f.Abandoned("1", "notion"))
		f.Identified("1")
		f.submits("1", storage.OK, f.Adopted(adopted))
		f.Disconnect(f.Put(f.Abandoned("2", "notion")).ConnectionKey, true)
		changed := f.Put(f.Abandoned("3", "notion"))
		changed.OnExpiry = nil
		f.Put(changed)
		f.Put(f.Abandoned("4", "notion"))
		f.ApproveNothing("4")
		f.After(time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Equal(f.Due(10), []string(nil))
	},
	"a change keeps it": func(f *fixture) {
		c := f.Put(f.Put(f.Abandoned("1", "notion")))
		c = f.Lease(c, "one", storage.OK)
		f.Stored(c)
		f.After(15 * time.Minute)
		f.sweeps(true)
		f.Equal(f.Due(10), []string{"abandoned 1"})
	},
	"not when nobody would try any more": func(f *fixture) {
		f.Put(f.Abandoned("1", "notion"))
		f.After(25 * time.Hour)
		f.sweeps(true)
		f.Equal(f.Due(10), []string(nil))
		f.sweeps(false)
	},
}

// sweeps removes what ended, if there is something.
func (f *fixture) sweeps(want bool) {
	f.Helper()
	n, err := f.Store.Sweep(suite.Ctx(), f.Now)
	f.Must(err)
	f.Equal(n > 0, want)
}
