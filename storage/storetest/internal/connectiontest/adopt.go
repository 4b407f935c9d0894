package connectiontest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var adoptTests = map[string]func(*fixture){
	"what a flow connected goes to its owner": func(f *fixture) {
		notion, github := f.Connects("1", "notion"), f.Connects("1", "github")
		f.submits("1", storage.OK, f.Adopted(notion), f.Adopted(github))
		for _, c := range []storage.Connection{notion, github} {
			want := f.Adopted(c)
			want.Revision = 1
			f.Stored(want)
		}
		f.Equal(f.Servers(suite.Issuer, storage.FlowOwner("1")), []string(nil))
	},
	"not in place of what was not there, or is no more": func(f *fixture) {
		c := f.Connects("1", "notion")
		for _, id := range []string{"another", "c-" + suite.Alice.Subject + " notion"} {
			moved := f.Adopted(c)
			moved.ID = id // of a connection that the owner does not have
			f.submits("1", storage.Changed, moved)
			f.StillPending("1", c)
		}
		own := f.Put(f.Connection(suite.Alice.Subject, "notion")) // made meanwhile
		f.submits("1", storage.Changed, f.Adopted(c))
		f.NothingApproved("1")
		f.Stored(own)
		f.Stored(c)
	},
	"in place of what the owner had": func(f *fixture) {
		old := f.Connection(suite.Alice.Subject, "notion")
		old.State = storage.NeedsReauth
		old = f.Put(old)
		kept := f.Put(f.Connection(suite.Alice.Subject, "github"))
		c := f.Connects("1", "notion")
		moved := f.Adopted(c)
		moved.ID = old.ID
		f.submits("1", storage.OK, moved)
		moved.Revision = 2
		f.Stored(moved)
		f.Stored(kept)
		_, err := f.Store.ConnectionByID(suite.Ctx(), suite.Issuer, c.ID, f.Now)
		f.WantError(err, storage.ErrNotFound)
		_, v, err := f.Store.PutConnection(suite.Ctx(), old, f.Now) // the answer of a refresh
		f.Verdict(v, err, storage.Changed)
	},
	"without an end, and without a lease": func(f *fixture) {
		c := f.Lease(f.Connects("1", "notion"), "one", storage.OK)
		moved := c
		moved.Owner = suite.Alice.Subject
		f.submits("1", storage.OK, moved)
		f.Stored(f.afterAdoption(moved))
		f.After(1000 * time.Hour)
		_, err := f.Store.Sweep(suite.Ctx(), f.Now)
		f.Must(err)
		f.Stored(f.afterAdoption(moved))
	},
	"not what somebody changed since": func(f *fixture) {
		c := f.Connects("1", "notion")
		newer := f.Put(c)
		f.submits("1", storage.Changed, f.Adopted(c))
		f.StillPending("1", newer)
		f.submits("1", storage.OK, f.Adopted(newer))
	},
	"not what somebody ended since": func(f *fixture) {
		c := f.Connects("1", "notion")
		f.Disconnect(c.ConnectionKey, true)
		f.submits("1", storage.Changed, f.Adopted(c))
		f.StillPending("1")
		f.NoConnection(f.Adopted(c))
		f.submits("1", storage.OK)
	},
	"not without one that came since": func(f *fixture) {
		c := f.Connects("1", "notion")
		late := f.Connects("1", "github")
		f.submits("1", storage.Changed, f.Adopted(c))
		f.submits("1", storage.Changed)
		f.StillPending("1", c, late)
	},
	"not one of another flow": func(f *fixture) {
		f.Connects("1", "notion")
		c := f.Connects("2", "github")
		f.submits("1", storage.Changed, f.Adopted(c))
		f.submits("2", storage.OK, f.Adopted(c))
	},
	"to nobody else E25": func(f *fixture) {
		c := f.Connects("1", "notion")
		bobs, elsewhere, flows := f.Adopted(c), f.Adopted(c), f.Adopted(c)
		bobs.Owner = suite.Bob.Subject
		elsewhere.Issuer = suite.OtherIssuer
		flows.Owner = storage.FlowOwner("1")
		nameless := f.Adopted(c)
		nameless.ID = ""
		for _, adopt := range [][]storage.Connection{{bobs}, {elsewhere}, {flows}, {nameless}, {f.Adopted(c), f.Adopted(c)}} {
			sub := f.Submission("1", "a")
			sub.Adopt = suite.Replacing(adopt...)
			if v, err := f.Store.SubmitFlow(suite.Ctx(), sub); err == nil {
				f.Fatalf("verdict %v for %+v", v, adopt)
			}
		}
		f.StillPending("1", c)
	},
	"a refusal removes them": func(f *fixture) {
		c := f.Connects("1", "notion")
		f.SaveConnectState("1", storage.FlowOwner("1"), "github")
		other := f.Connects("2", "notion")
		f.ApproveNothing("1")
		f.NoConnection(c)
		f.NoConnection(f.Adopted(c))
		f.ClaimConnectState("1", storage.Unknown)
		f.Stored(other)
	},
	"a refusal adopts nothing": func(f *fixture) {
		c := f.Connects("1", "notion")
		sub := f.Submission("1", "a")
		sub.Grant, sub.Code, sub.Adopt = nil, nil, suite.Replacing(f.Adopted(c))
		if v, err := f.Store.SubmitFlow(suite.Ctx(), sub); err == nil {
			f.Fatalf("verdict %v", v)
		}
		f.StillPending("1", c)
	},
	"states of the flow end with it, and only those": func(f *fixture) {
		f.Connects("1", "notion")
		c := f.Connects("2", "notion")
		f.SaveConnectState("1", storage.FlowOwner("2"), "notion")
		f.SaveConnectState("2", storage.FlowOwner("2"), "github")
		f.SaveConnectState("3", storage.FlowOwner("1"), "notion")
		f.SaveConnectState("4", suite.Alice.Subject, "notion")
		f.submits("2", storage.OK, f.Adopted(c))
		f.ClaimConnectState("1", storage.Unknown)
		f.ClaimConnectState("2", storage.Unknown)
		f.ClaimConnectState("3", storage.OK)
		f.ClaimConnectState("4", storage.OK)
	},
}

// afterAdoption is what must come of an adopted connection.
func (f *fixture) afterAdoption(c storage.Connection) storage.Connection {
	c.ExpiresAt, c.Lease, c.LeaseUntil, c.Revision = time.Time{}, "", time.Time{}, 1
	return c
}

// submits approves a flow with what it connected.
func (f *fixture) submits(flow string, want storage.Verdict, adopt ...storage.Connection) {
	f.Helper()
	f.submitsAll(flow, want, suite.Replacing(adopt...)...)
}

// submitsAll approves a flow with what it connected, and what that replaces.
func (f *fixture) submitsAll(flow string, want storage.Verdict, adopt ...storage.ConnectionReplacement) {
	f.Helper()
	sub := f.Submission(flow, "a")
	sub.Adopt = adopt
	v, err := f.Store.SubmitFlow(suite.Ctx(), sub)
	f.Verdict(v, err, want)
}
