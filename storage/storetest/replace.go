package storetest

import (
	"fmt"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var replaceTests = map[string]func(*fixture){
	"one that takes another's place queues the revocation": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		c.Secret = []byte("of another sign-in")
		c = f.put(f.revoking(c, "1"))
		f.equal(c.Revokes, (*storage.ProviderRevocation)(nil))
		f.stands(c)
		f.equal(f.due(10), []string{"1"})
	},
	"one that is late queues nothing": func(f *fixture) {
		late := f.put(f.connection("alice", "notion"))
		newer := f.put(late)
		_, v, err := f.store.PutConnection(ctx(), f.revoking(late, "1"), f.now)
		f.verdict(v, err, storage.Changed)
		f.stands(newer)
		f.equal(f.due(10), []string(nil))
	},
	"one that is adopted queues the revocation of the owner's": func(f *fixture) {
		old := f.put(f.connection(alice.Subject, "notion"))
		moved := f.adopted(f.connects("1", "notion"))
		moved.ID = old.ID
		f.submits("1", storage.OK, f.revoking(moved, "1"))
		moved.Revision = 2
		f.stands(moved)
		f.equal(f.due(10), []string{"1"})
	},
	"one that is not adopted queues nothing": func(f *fixture) {
		c := f.connects("1", "notion")
		f.put(c)
		f.submits("1", storage.Changed, f.revoking(f.adopted(c), "1"))
		f.equal(f.due(10), []string(nil))
	},
}

var usesUpTests = map[string]func(*fixture){
	"a connection uses something up": func(f *fixture) {
		c := f.put(f.using(f.connection("alice", "notion"), "link"))
		f.equal(c.UsesUp, (*storage.OneTime)(nil))
		f.stands(c)
		f.used("link", true)
		first, err := f.store.UseOnce(ctx(), storage.HashOf("link"), f.now.Add(time.Hour), f.now)
		f.must(err)
		f.equal(first, false)
		f.after(time.Minute - 1)
		f.used("link", true)
		f.after(1)
		f.used("link", false)
		f.put(f.using(c, "link"))
	},
	"nothing is connected with what was used": func(f *fixture) {
		_, err := f.store.UseOnce(ctx(), storage.HashOf("link"), f.now.Add(time.Hour), f.now)
		f.must(err)
		none := f.revoking(f.using(f.connection("bob", "notion"), "link"), "1")
		got, v, err := f.store.PutConnection(ctx(), none, f.now)
		f.verdict(v, err, storage.AlreadyUsed)
		f.equal(got, storage.Connection{})
		f.noConnection(none)
		c := f.put(f.connection("alice", "notion"))
		late := f.revoking(f.using(c, "link"), "1")
		late.Secret = []byte("of another sign-in")
		for range 2 {
			got, v, err = f.store.PutConnection(ctx(), late, f.now)
			f.verdict(v, err, storage.AlreadyUsed)
			f.equal(got, c)
			f.stands(c)
			late.Revision = 7
		}
		f.equal(f.due(10), []string(nil))
	},
	"one that is late uses nothing up": func(f *fixture) {
		late := f.put(f.connection("alice", "notion"))
		newer := f.put(late)
		_, v, err := f.store.PutConnection(ctx(), f.using(late, "link"), f.now)
		f.verdict(v, err, storage.Changed)
		f.used("link", false)
		f.put(f.using(newer, "link"))
	},
	"one of several connections uses it up": func(f *fixture) {
		for round := range rounds {
			f.race(func(n int) storage.Verdict {
				c := f.connection(fmt.Sprint(round, " ", n), "notion")
				_, v, err := f.store.PutConnection(ctx(), f.using(c, fmt.Sprint("link ", round)), f.now)
				return f.raced(v, err, storage.OK, storage.AlreadyUsed)
			})
			f.equal(len(f.servers(issuer, "")), round+1)
		}
	},
}

var expiryTests = map[string]func(*fixture){
	"one that expires is queued when it is swept, once": func(f *fixture) {
		c := f.put(f.abandoned("1", "notion"))
		f.stands(c)
		f.after(15*time.Minute - time.Second)
		f.sweeps(0)
		f.equal(f.due(10), []string(nil))
		f.after(time.Second)
		f.noConnection(c)
		f.equal(f.due(10), []string(nil))
		f.sweeps(2)
		f.equal(f.due(10), []string{"abandoned 1"})
		f.must(f.store.EndRevocation(ctx(), "abandoned 1"))
		f.sweeps(0)
		f.after(time.Hour)
		f.equal(f.due(10), []string(nil))
	},
	"one that expires is queued when another takes its place": func(f *fixture) {
		f.put(f.abandoned("1", "notion"))
		f.after(15 * time.Minute)
		c := f.put(f.flowConnection("1", "notion"))
		f.equal(f.due(10), []string{"abandoned 1"})
		f.stands(c)
	},
	"one that expires is queued when it is ended": func(f *fixture) {
		c := f.put(f.abandoned("1", "notion"))
		f.after(15 * time.Minute)
		f.disconnect(c.ConnectionKey, false)
		f.equal(f.due(10), []string{"abandoned 1"})
	},
	"one that comes too late is queued": func(f *fixture) {
		c := f.abandoned("1", "notion")
		f.after(time.Hour)
		f.put(c)
		f.noConnection(c)
		f.sweeps(2)
		f.equal(f.due(10), []string{"abandoned 1"})
	},
	"not one that was adopted, ended, changed or refused": func(f *fixture) {
		adopted := f.put(f.abandoned("1", "notion"))
		f.identified("1")
		f.submits("1", storage.OK, f.adopted(adopted))
		f.disconnect(f.put(f.abandoned("2", "notion")).ConnectionKey, true)
		changed := f.put(f.abandoned("3", "notion"))
		changed.OnExpiry = nil
		f.put(changed)
		f.put(f.abandoned("4", "notion"))
		f.approveNothing("4")
		f.after(time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.equal(f.due(10), []string(nil))
	},
	"a change keeps it": func(f *fixture) {
		c := f.put(f.put(f.abandoned("1", "notion")))
		c = f.lease(c, "one", storage.OK)
		f.stands(c)
		f.after(15 * time.Minute)
		f.sweeps(2)
		f.equal(f.due(10), []string{"abandoned 1"})
	},
	"not when nobody would try any more": func(f *fixture) {
		f.put(f.abandoned("1", "notion"))
		f.after(25 * time.Hour)
		f.sweeps(2)
		f.equal(f.due(10), []string(nil))
		f.sweeps(0)
	},
}

// revoking is the connection, with what it takes the place of.
func (f *fixture) revoking(c storage.Connection, id string) storage.Connection {
	r := f.revocation(id)
	c.Revokes = &r
	return c
}

// using is the connection, with what it uses up for a minute.
func (f *fixture) using(c storage.Connection, value string) storage.Connection {
	c.UsesUp = &storage.OneTime{Hash: storage.HashOf(value), ExpiresAt: f.now.Add(time.Minute)}
	return c
}

// abandoned is what a flow connected that nobody will finish.
func (f *fixture) abandoned(flow, server string) storage.Connection {
	c := f.flowConnection(flow, server)
	r := f.revocation("abandoned " + flow)
	c.OnExpiry = &r
	return c
}

// identified stores who the person of a flow is.
func (f *fixture) identified(flow string) {
	f.Helper()
	v, err := f.store.SaveFlow(ctx(), f.flow(flow), f.now)
	f.verdict(v, err, storage.OK)
}

// sweeps removes what ended, of which there is so much.
func (f *fixture) sweeps(want int) {
	f.Helper()
	n, err := f.store.Sweep(ctx(), f.now)
	f.must(err)
	f.equal(n, want)
}
