package connectiontest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

var connectStateTests = map[string]func(*fixture){
	"reads back what was stored, once": func(f *fixture) {
		state := f.SaveConnectState("1", "alice", "notion")
		f.Equal(f.ClaimConnectState("1", storage.OK), state)
		f.Equal(f.ClaimConnectState("1", storage.Unknown), storage.ConnectState{})
	},
	"another browser changes nothing I02": func(f *fixture) {
		f.SaveConnectState("1", "alice", "notion")
		for _, browser := range []storage.Hash{{}, suite.Hash("another browser")} {
			got, v, err := f.Store.ClaimConnectState(suite.Ctx(), suite.Hash("state 1"), browser, f.Now)
			f.Verdict(v, err, storage.WrongBrowser)
			f.Equal(got, storage.ConnectState{})
		}
		f.ClaimConnectState("1", storage.OK)
	},
	"unknown": func(f *fixture) {
		f.ClaimConnectState("1", storage.Unknown)
	},
	"ends at ExpiresAt": func(f *fixture) {
		f.SaveConnectState("1", "alice", "notion")
		f.After(15 * time.Minute)
		f.ClaimConnectState("1", storage.Unknown)
	},
	"several at a time": func(f *fixture) {
		f.SaveConnectState("1", "alice", "notion")
		f.SaveConnectState("2", "alice", "notion")
		f.ClaimConnectState("2", storage.OK)
		f.ClaimConnectState("1", storage.OK)
	},
}

var disconnectTests = map[string]func(*fixture){
	"removes the connection, and only it K20": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		github := f.Put(f.Connection("alice", "github"))
		bobs := f.Put(f.Connection("bob", "notion"))
		f.Disconnect(c.ConnectionKey, true)
		f.NoConnection(c)
		f.Stored(github)
		f.Stored(bobs)
		f.Disconnect(c.ConnectionKey, false)
	},
	"removes the states that are under way, and only those": func(f *fixture) {
		f.Put(f.Connection("alice", "notion"))
		f.SaveConnectState("1", "alice", "notion")
		f.SaveConnectState("2", "alice", "notion")
		f.SaveConnectState("3", "alice", "github")
		f.SaveConnectState("4", "bob", "notion")
		f.Disconnect(suite.ConnectionKey("alice", "notion"), true)
		f.ClaimConnectState("1", storage.Unknown)
		f.ClaimConnectState("2", storage.Unknown)
		f.ClaimConnectState("3", storage.OK)
		f.ClaimConnectState("4", storage.OK)
	},
	"leaves what has changed since K20": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		f.SaveConnectState("1", "alice", "notion")
		r := f.Revocation("of the tokens before")
		refreshed := c
		refreshed.Secret = []byte("refreshed")
		refreshed = f.Put(refreshed)
		another := c
		another.ID, another.Revision = "c-another", refreshed.Revision
		for _, stale := range []storage.Connection{c, another, {ConnectionKey: c.ConnectionKey}} {
			current, v, err := f.Store.Disconnect(suite.Ctx(), stale, &r, f.Now)
			f.Verdict(v, err, storage.Changed)
			f.Equal(current, refreshed)
		}
		f.Stored(refreshed)
		f.Equal(f.Due(10), []string(nil))
		f.ClaimConnectState("1", storage.OK)
	},
	"removes states even without a connection": func(f *fixture) {
		f.SaveConnectState("1", "alice", "notion")
		f.Disconnect(suite.ConnectionKey("alice", "notion"), false)
		f.ClaimConnectState("1", storage.Unknown)
	},
	"nothing that began before is stored": func(f *fixture) {
		k := suite.ConnectionKey("alice", "notion")
		never := f.LastDisconnect(k)
		f.Equal(never, uint64(0))
		f.Disconnect(k, false)
		once := f.LastDisconnect(k)
		f.PutsSince(k, never, storage.DisconnectedSince)
		f.Disconnect(f.PutsSince(k, once, storage.OK).ConnectionKey, true)
		f.PutsSince(k, once, storage.DisconnectedSince)
		f.PutsSince(k, f.LastDisconnect(k), storage.OK)
		for _, other := range []storage.ConnectionKey{
			suite.ConnectionKey("alice", "github"), suite.ConnectionKey("bob", "notion"), {Issuer: suite.OtherIssuer, Owner: k.Owner, Server: k.Server},
		} {
			f.PutsSince(other, never, storage.OK)
		}
	},
	"and is remembered for longer than anything takes": func(f *fixture) {
		k := suite.ConnectionKey("alice", "notion")
		f.Disconnect(k, false)
		before := f.LastDisconnect(k)
		f.After(storage.DisconnectMemory - time.Second)
		f.sweeps(false)
		f.Equal(f.LastDisconnect(k), before)
		f.After(time.Second)
		f.sweeps(true)
		f.PutsSince(k, before, storage.OK)
	},
	"ends a lease": func(f *fixture) {
		leased := f.Lease(f.Put(f.Connection("alice", "notion")), "one", storage.OK)
		f.Disconnect(leased.ConnectionKey, true)
		_, v, err := f.Store.PutConnection(suite.Ctx(), leased, f.Now)
		f.Verdict(v, err, storage.Changed)
		f.NoConnection(leased)
	},
	"queues the revocation": func(f *fixture) {
		c := f.Put(f.Connection("alice", "notion"))
		r := f.Revocation("1")
		_, v, err := f.Store.Disconnect(suite.Ctx(), c, &r, f.Now)
		f.Verdict(v, err, storage.OK)
		f.NoConnection(c)
		due, err := f.Store.DueRevocations(suite.Ctx(), suite.Issuer, 10, f.Now, f.Now.Add(time.Minute))
		f.Must(err)
		r.Attempts, r.DueAt = 1, f.Now.Add(time.Minute)
		f.Equal(due, []storage.ProviderRevocation{r})
	},
}

var revocationTests = map[string]func(*fixture){
	"handed out when due, to one caller at a time": func(f *fixture) {
		f.Queue(f.Revocation("1"))
		f.Equal(f.Due(10), []string{"1"})
		f.Equal(f.Due(10), []string(nil))
		f.After(time.Minute - 1)
		f.Equal(f.Due(10), []string(nil))
		f.After(1)
		due, err := f.Store.DueRevocations(suite.Ctx(), suite.Issuer, 10, f.Now, f.Now.Add(time.Minute))
		f.Must(err)
		if len(due) != 1 || due[0].Attempts != 2 {
			f.Fatalf("the second time: %+v", due)
		}
	},
	"oldest first, up to the limit": func(f *fixture) {
		for i, id := range []string{"c", "a", "b", "d"} {
			r := f.Revocation(id)
			r.DueAt = f.Now.Add(time.Duration(i-3) * time.Minute)
			f.Queue(r)
		}
		later := f.Revocation("later")
		later.DueAt = f.Now.Add(1)
		f.Queue(later)
		f.Equal(f.Due(3), []string{"c", "a", "b"})
		f.Equal(f.Due(0), []string(nil))
		f.Equal(f.Due(3), []string{"d"})
		f.After(1)
		f.Equal(f.Due(3), []string{"later"})
	},
	"whatever time it is": func(f *fixture) {
		r := f.Revocation("1")
		r.DueAt = time.Time{}
		f.Queue(r)
		f.Equal(f.Due(10), []string{"1"})
	},
	"of one issuer": func(f *fixture) {
		r := f.Revocation("1")
		r.Issuer = suite.OtherIssuer
		f.Queue(r)
		f.Equal(f.Due(10), []string(nil))
	},
	"until it is done": func(f *fixture) {
		f.Queue(f.Revocation("1"))
		f.Queue(f.Revocation("2"))
		f.Must(f.Store.EndRevocation(suite.Ctx(), "1"))
		f.Must(f.Store.EndRevocation(suite.Ctx(), "1"))
		f.Must(f.Store.EndRevocation(suite.Ctx(), "unknown"))
		f.Equal(f.Due(10), []string{"2"})
		f.Must(f.Store.EndRevocation(suite.Ctx(), "2"))
		f.After(time.Hour)
		f.Equal(f.Due(10), []string(nil))
	},
	"until nobody tries any more": func(f *fixture) {
		f.Queue(f.Revocation("1"))
		f.After(24 * time.Hour)
		f.Equal(f.Due(10), []string(nil))
	},
}
