package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var adoptTests = map[string]func(*fixture){
	"what a flow connected goes to its owner": func(f *fixture) {
		notion, github := f.connects("1", "notion"), f.connects("1", "github")
		f.submits("1", storage.OK, f.adopted(notion), f.adopted(github))
		for _, c := range []storage.Connection{notion, github} {
			want := f.adopted(c)
			want.Revision = 1
			f.stands(want)
		}
		f.equal(f.servers(issuer, storage.FlowOwner("1")), []string(nil))
	},
	"not in place of what was not there, or is no more": func(f *fixture) {
		c := f.connects("1", "notion")
		for _, id := range []string{"another", "c-" + alice.Subject + " notion"} {
			moved := f.adopted(c)
			moved.ID = id // of a connection that the owner does not have
			f.submits("1", storage.Changed, moved)
			f.stillPending("1", c)
		}
		own := f.put(f.connection(alice.Subject, "notion")) // made meanwhile
		f.submits("1", storage.Changed, f.adopted(c))
		f.nothingApproved("1")
		f.stands(own)
		f.stands(c)
	},
	"in place of what the owner had": func(f *fixture) {
		old := f.connection(alice.Subject, "notion")
		old.State = storage.NeedsReauth
		old = f.put(old)
		kept := f.put(f.connection(alice.Subject, "github"))
		c := f.connects("1", "notion")
		moved := f.adopted(c)
		moved.ID = old.ID
		f.submits("1", storage.OK, moved)
		moved.Revision = 2
		f.stands(moved)
		f.stands(kept)
		_, err := f.store.ConnectionByID(ctx(), issuer, c.ID, f.now)
		f.is(err, storage.ErrNotFound)
		_, v, err := f.store.PutConnection(ctx(), old, f.now) // the answer of a refresh
		f.verdict(v, err, storage.Changed)
	},
	"without an end, and without a lease": func(f *fixture) {
		c := f.lease(f.connects("1", "notion"), "one", storage.OK)
		moved := c
		moved.Owner = alice.Subject
		f.submits("1", storage.OK, moved)
		f.stands(f.afterAdoption(moved))
		f.after(1000 * time.Hour)
		_, err := f.store.Sweep(ctx(), f.now)
		f.must(err)
		f.stands(f.afterAdoption(moved))
	},
	"not what somebody changed since": func(f *fixture) {
		c := f.connects("1", "notion")
		newer := f.put(c)
		f.submits("1", storage.Changed, f.adopted(c))
		f.stillPending("1", newer)
		f.submits("1", storage.OK, f.adopted(newer))
	},
	"not what somebody ended since": func(f *fixture) {
		c := f.connects("1", "notion")
		f.disconnect(c.ConnectionKey, true)
		f.submits("1", storage.Changed, f.adopted(c))
		f.stillPending("1")
		f.noConnection(f.adopted(c))
		f.submits("1", storage.OK)
	},
	"not without one that came since": func(f *fixture) {
		c := f.connects("1", "notion")
		late := f.connects("1", "github")
		f.submits("1", storage.Changed, f.adopted(c))
		f.submits("1", storage.Changed)
		f.stillPending("1", c, late)
	},
	"not one of another flow": func(f *fixture) {
		f.connects("1", "notion")
		c := f.connects("2", "github")
		f.submits("1", storage.Changed, f.adopted(c))
		f.submits("2", storage.OK, f.adopted(c))
	},
	"to nobody else E25": func(f *fixture) {
		c := f.connects("1", "notion")
		bobs, elsewhere, flows := f.adopted(c), f.adopted(c), f.adopted(c)
		bobs.Owner = bob.Subject
		elsewhere.Issuer = otherIssuer
		flows.Owner = storage.FlowOwner("1")
		nameless := f.adopted(c)
		nameless.ID = ""
		for _, adopt := range [][]storage.Connection{{bobs}, {elsewhere}, {flows}, {nameless}, {f.adopted(c), f.adopted(c)}} {
			sub := f.submission("1", "a")
			sub.Adopt = adopt
			if v, err := f.store.SubmitFlow(ctx(), sub); err == nil {
				f.Fatalf("verdict %v for %+v", v, adopt)
			}
		}
		f.stillPending("1", c)
	},
	"a refusal removes them": func(f *fixture) {
		c := f.connects("1", "notion")
		f.leave("1", storage.FlowOwner("1"), "github")
		other := f.connects("2", "notion")
		f.approveNothing("1")
		f.noConnection(c)
		f.noConnection(f.adopted(c))
		f.comeBack("1", storage.Unknown)
		f.stands(other)
	},
	"a refusal adopts nothing": func(f *fixture) {
		c := f.connects("1", "notion")
		sub := f.submission("1", "a")
		sub.Grant, sub.Code, sub.Adopt = nil, nil, []storage.Connection{f.adopted(c)}
		if v, err := f.store.SubmitFlow(ctx(), sub); err == nil {
			f.Fatalf("verdict %v", v)
		}
		f.stillPending("1", c)
	},
	"trips of the flow end with it, and only those": func(f *fixture) {
		f.connects("1", "notion")
		c := f.connects("2", "notion")
		f.leave("1", storage.FlowOwner("2"), "notion")
		f.leave("2", storage.FlowOwner("2"), "github")
		f.leave("3", storage.FlowOwner("1"), "notion")
		f.leave("4", alice.Subject, "notion")
		f.submits("2", storage.OK, f.adopted(c))
		f.comeBack("1", storage.Unknown)
		f.comeBack("2", storage.Unknown)
		f.comeBack("3", storage.OK)
		f.comeBack("4", storage.OK)
	},
}

// connects stores what a person connected in a flow that is pending.
func (f *fixture) connects(flow, server string) storage.Connection {
	f.Helper()
	v, err := f.store.SaveFlow(ctx(), f.flow(flow), f.now)
	f.verdict(v, err, storage.OK)
	return f.put(f.flowConnection(flow, server))
}

// adopted is the connection of a flow, for alice.
func (f *fixture) adopted(c storage.Connection) storage.Connection {
	c.Owner = alice.Subject
	c.Secret = []byte("sealed for alice")
	c.ExpiresAt = time.Time{}
	return c
}

// afterAdoption is what must come of an adopted connection.
func (f *fixture) afterAdoption(c storage.Connection) storage.Connection {
	c.ExpiresAt, c.Lease, c.LeaseUntil, c.Revision = time.Time{}, "", time.Time{}, 1
	return c
}

// submits approves a flow with what it connected.
func (f *fixture) submits(flow string, want storage.Verdict, adopt ...storage.Connection) {
	f.Helper()
	sub := f.submission(flow, "a")
	sub.Adopt = adopt
	v, err := f.store.SubmitFlow(ctx(), sub)
	f.verdict(v, err, want)
}

// stillPending checks that nothing of a submission happened.
func (f *fixture) stillPending(flow string, connected ...storage.Connection) {
	f.Helper()
	f.nothingApproved(flow)
	got, err := f.store.Flow(ctx(), flow, f.now)
	f.must(err)
	f.equal(got.Submitted, false)
	for _, c := range connected {
		f.stands(c)
	}
	f.equal(f.servers(issuer, alice.Subject), []string(nil))
}
