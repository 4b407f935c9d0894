package storetest

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var tripTests = map[string]func(*fixture){
	"reads back what was stored, once": func(f *fixture) {
		trip := f.leave("1", "alice", "notion")
		f.equal(f.comeBack("1", storage.OK), trip)
		f.equal(f.comeBack("1", storage.Unknown), storage.ConnectState{})
	},
	"another browser changes nothing I02": func(f *fixture) {
		f.leave("1", "alice", "notion")
		for _, browser := range []storage.Hash{{}, hash("another browser")} {
			got, v, err := f.store.ClaimConnectState(ctx(), hash("state 1"), browser, f.now)
			f.verdict(v, err, storage.WrongBrowser)
			f.equal(got, storage.ConnectState{})
		}
		f.comeBack("1", storage.OK)
	},
	"unknown": func(f *fixture) {
		f.comeBack("1", storage.Unknown)
	},
	"ends at ExpiresAt": func(f *fixture) {
		f.leave("1", "alice", "notion")
		f.after(15 * time.Minute)
		f.comeBack("1", storage.Unknown)
	},
	"several at a time": func(f *fixture) {
		f.leave("1", "alice", "notion")
		f.leave("2", "alice", "notion")
		f.comeBack("2", storage.OK)
		f.comeBack("1", storage.OK)
	},
}

var disconnectTests = map[string]func(*fixture){
	"removes the connection, and only it K20": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		github := f.put(f.connection("alice", "github"))
		bobs := f.put(f.connection("bob", "notion"))
		f.disconnect(c.ConnectionKey, true)
		f.noConnection(c)
		f.stands(github)
		f.stands(bobs)
		f.disconnect(c.ConnectionKey, false)
	},
	"removes the trips that are under way, and only those": func(f *fixture) {
		f.put(f.connection("alice", "notion"))
		f.leave("1", "alice", "notion")
		f.leave("2", "alice", "notion")
		f.leave("3", "alice", "github")
		f.leave("4", "bob", "notion")
		f.disconnect(connectionKey("alice", "notion"), true)
		f.comeBack("1", storage.Unknown)
		f.comeBack("2", storage.Unknown)
		f.comeBack("3", storage.OK)
		f.comeBack("4", storage.OK)
	},
	"leaves what has changed since K20": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		f.leave("1", "alice", "notion")
		r := f.revocation("of the tokens before")
		refreshed := c
		refreshed.Secret = []byte("refreshed")
		refreshed = f.put(refreshed)
		another := c
		another.ID, another.Revision = "c-another", refreshed.Revision
		for _, stale := range []storage.Connection{c, another, {ConnectionKey: c.ConnectionKey}} {
			current, v, err := f.store.Disconnect(ctx(), stale, &r, f.now)
			f.verdict(v, err, storage.Changed)
			f.equal(current, refreshed)
		}
		f.stands(refreshed)
		f.equal(f.due(10), []string(nil))
		f.comeBack("1", storage.OK)
	},
	"removes trips even without a connection": func(f *fixture) {
		f.leave("1", "alice", "notion")
		f.disconnect(connectionKey("alice", "notion"), false)
		f.comeBack("1", storage.Unknown)
	},
	"nothing that began before is stored": func(f *fixture) {
		k := connectionKey("alice", "notion")
		never := f.lastDisconnect(k)
		f.equal(never, uint64(0))
		f.disconnect(k, false)
		once := f.lastDisconnect(k)
		f.putsSince(k, never, storage.DisconnectedSince)
		f.disconnect(f.putsSince(k, once, storage.OK).ConnectionKey, true)
		f.putsSince(k, once, storage.DisconnectedSince)
		f.putsSince(k, f.lastDisconnect(k), storage.OK)
		for _, other := range []storage.ConnectionKey{
			connectionKey("alice", "github"), connectionKey("bob", "notion"), {Issuer: otherIssuer, Owner: k.Owner, Server: k.Server},
		} {
			f.putsSince(other, never, storage.OK)
		}
	},
	"and is remembered for longer than anything takes": func(f *fixture) {
		k := connectionKey("alice", "notion")
		f.disconnect(k, false)
		before := f.lastDisconnect(k)
		f.after(storage.DisconnectMemory - time.Second)
		f.sweeps(0)
		f.equal(f.lastDisconnect(k), before)
		f.after(time.Second)
		f.sweeps(1)
		f.putsSince(k, before, storage.OK)
	},
	"ends a lease": func(f *fixture) {
		leased := f.lease(f.put(f.connection("alice", "notion")), "one", storage.OK)
		f.disconnect(leased.ConnectionKey, true)
		_, v, err := f.store.PutConnection(ctx(), leased, f.now)
		f.verdict(v, err, storage.Changed)
		f.noConnection(leased)
	},
	"queues the revocation": func(f *fixture) {
		c := f.put(f.connection("alice", "notion"))
		r := f.revocation("1")
		_, v, err := f.store.Disconnect(ctx(), c, &r, f.now)
		f.verdict(v, err, storage.OK)
		f.noConnection(c)
		due, err := f.store.DueRevocations(ctx(), issuer, 10, f.now, f.now.Add(time.Minute))
		f.must(err)
		r.Attempts, r.DueAt = 1, f.now.Add(time.Minute)
		f.equal(due, []storage.ProviderRevocation{r})
	},
}

var revocationTests = map[string]func(*fixture){
	"handed out when due, to one caller at a time": func(f *fixture) {
		f.queue(f.revocation("1"))
		f.equal(f.due(10), []string{"1"})
		f.equal(f.due(10), []string(nil))
		f.after(time.Minute - 1)
		f.equal(f.due(10), []string(nil))
		f.after(1)
		due, err := f.store.DueRevocations(ctx(), issuer, 10, f.now, f.now.Add(time.Minute))
		f.must(err)
		if len(due) != 1 || due[0].Attempts != 2 {
			f.Fatalf("the second time: %+v", due)
		}
	},
	"oldest first, up to the limit": func(f *fixture) {
		for i, id := range []string{"c", "a", "b", "d"} {
			r := f.revocation(id)
			r.DueAt = f.now.Add(time.Duration(i-3) * time.Minute)
			f.queue(r)
		}
		later := f.revocation("later")
		later.DueAt = f.now.Add(1)
		f.queue(later)
		f.equal(f.due(3), []string{"c", "a", "b"})
		f.equal(f.due(0), []string(nil))
		f.equal(f.due(3), []string{"d"})
		f.after(1)
		f.equal(f.due(3), []string{"later"})
	},
	"whatever time it is": func(f *fixture) {
		r := f.revocation("1")
		r.DueAt = time.Time{}
		f.queue(r)
		f.equal(f.due(10), []string{"1"})
	},
	"of one issuer": func(f *fixture) {
		r := f.revocation("1")
		r.Issuer = otherIssuer
		f.queue(r)
		f.equal(f.due(10), []string(nil))
	},
	"until it is done": func(f *fixture) {
		f.queue(f.revocation("1"))
		f.queue(f.revocation("2"))
		f.must(f.store.EndRevocation(ctx(), "1"))
		f.must(f.store.EndRevocation(ctx(), "1"))
		f.must(f.store.EndRevocation(ctx(), "unknown"))
		f.equal(f.due(10), []string{"2"})
		f.must(f.store.EndRevocation(ctx(), "2"))
		f.after(time.Hour)
		f.equal(f.due(10), []string(nil))
	},
	"until nobody tries any more": func(f *fixture) {
		f.queue(f.revocation("1"))
		f.after(24 * time.Hour)
		f.equal(f.due(10), []string(nil))
	},
}
