package storetest

import (
	"crypto/rand"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const provider = "https://provider.example.com"

func connectionKey(owner, server string) storage.ConnectionKey {
	return storage.ConnectionKey{Issuer: issuer, Owner: owner, Server: server}
}

// connection is new, and has an ID of its own.
func (f *fixture) connection(owner, server string) storage.Connection {
	return storage.Connection{
		ConnectionKey: connectionKey(owner, server), ID: "c-" + owner + " " + server, State: storage.Active,
		Secret: []byte("sealed for " + owner), Provider: provider, Scopes: []string{"read", "write"},
		TokenExpiresAt: f.now.Add(time.Hour), CreatedAt: f.now, UpdatedAt: f.now,
	}
}

// flowConnection is one that a flow made.
func (f *fixture) flowConnection(flow, server string) storage.Connection {
	c := f.connection(storage.FlowOwner(flow), server)
	c.ExpiresAt = f.now.Add(15 * time.Minute)
	return c
}

// put stores a connection and returns it as it is stored.
func (f *fixture) put(c storage.Connection) storage.Connection {
	f.Helper()
	stored, v, err := f.store.PutConnection(ctx(), c, f.now)
	f.verdict(v, err, storage.OK)
	return stored
}

// stands checks that the connection is stored just so, and found both ways.
func (f *fixture) stands(want storage.Connection) {
	f.Helper()
	got, err := f.store.Connection(ctx(), want.ConnectionKey, f.now)
	f.must(err)
	f.equal(got, want)
	got, err = f.store.ConnectionByID(ctx(), want.Issuer, want.ID, f.now)
	f.must(err)
	f.equal(got, want)
}

// noConnection checks that there is none, by whatever way.
func (f *fixture) noConnection(c storage.Connection) {
	f.Helper()
	_, err := f.store.Connection(ctx(), c.ConnectionKey, f.now)
	f.is(err, storage.ErrNotFound)
	_, err = f.store.ConnectionByID(ctx(), c.Issuer, c.ID, f.now)
	f.is(err, storage.ErrNotFound)
	of, err := f.store.ConnectionsOf(ctx(), c.Issuer, c.Owner, f.now)
	f.must(err)
	for _, other := range of {
		if other.Server == c.Server {
			f.Fatalf("it is still listed: %+v", other)
		}
	}
}

// servers lists an owner's connections.
func (f *fixture) servers(issuer, owner string) []string {
	f.Helper()
	of, err := f.store.ConnectionsOf(ctx(), issuer, owner, f.now)
	f.must(err)
	var servers []string
	for _, c := range of {
		servers = append(servers, c.Server)
	}
	return servers
}

func (f *fixture) lease(c storage.Connection, holder string, want storage.Verdict) storage.Connection {
	f.Helper()
	got, v, err := f.store.LeaseConnection(ctx(), c.ConnectionKey, c.Revision, holder, f.now.Add(time.Minute), f.now)
	f.verdict(v, err, want)
	return got
}

// disconnect ends a connection and checks whether there was one.
func (f *fixture) disconnect(k storage.ConnectionKey, want bool) {
	f.Helper()
	had, err := f.end(storage.Connection{ConnectionKey: k}, nil)
	f.must(err)
	f.equal(had, want)
}

// end ends a connection, whatever becomes of it meanwhile, and queues the
// revocation of what it had last. It reports whether there was one.
func (f *fixture) end(c storage.Connection, revocation func(storage.Connection) *storage.ProviderRevocation) (bool, error) {
	for {
		var queue *storage.ProviderRevocation
		if revocation != nil {
			queue = revocation(c)
		}
		current, v, err := f.store.Disconnect(ctx(), c, queue, f.now)
		if err != nil || v != storage.Changed {
			return v == storage.OK, err
		}
		c = current
	}
}

func (f *fixture) lastDisconnect(k storage.ConnectionKey) uint64 {
	f.Helper()
	last, err := f.store.LastDisconnect(ctx(), k)
	f.must(err)
	return last
}

// putsSince stores a connection that was begun after a disconnect, and with any
// verdict but OK checks that nothing was changed.
func (f *fixture) putsSince(k storage.ConnectionKey, last uint64, want storage.Verdict) storage.Connection {
	f.Helper()
	link := "link " + rand.Text()
	c := f.using(f.connection(k.Owner, k.Server), link)
	c.ConnectionKey, c.LastDisconnect = k, &last
	got, v, err := f.store.PutConnection(ctx(), c, f.now)
	f.verdict(v, err, want)
	if want != storage.OK {
		f.noConnection(c)
		f.used(link, false)
		return c
	}
	f.equal(got.LastDisconnect, (*uint64)(nil))
	f.stands(got)
	return got
}

// trip is one that was begun in browser "browser".
func (f *fixture) trip(name, owner, server string) storage.ConnectState {
	return storage.ConnectState{
		Hash: hash("state %s", name), ConnectionKey: connectionKey(owner, server), Browser: hash("browser"),
		Provider: provider, Secret: []byte("sealed trip " + name), ExpiresAt: f.now.Add(15 * time.Minute),
	}
}

// leave stores a trip.
func (f *fixture) leave(name, owner, server string) storage.ConnectState {
	f.Helper()
	trip := f.trip(name, owner, server)
	f.must(f.store.SaveConnectState(ctx(), trip))
	return trip
}

// comeBack claims a trip in its browser and expects a verdict.
func (f *fixture) comeBack(name string, want storage.Verdict) storage.ConnectState {
	f.Helper()
	got, v, err := f.store.ClaimConnectState(ctx(), hash("state %s", name), hash("browser"), f.now)
	f.verdict(v, err, want)
	return got
}

func (f *fixture) revocation(id string) storage.ProviderRevocation {
	return storage.ProviderRevocation{
		ID: id, Issuer: issuer, Server: "notion", Secret: []byte("sealed tokens " + id),
		DueAt: f.now, ExpiresAt: f.now.Add(24 * time.Hour),
	}
}

// queue puts a revocation in the queue.
func (f *fixture) queue(r storage.ProviderRevocation) {
	f.Helper()
	f.must(f.store.QueueRevocation(ctx(), r))
}

// due takes what is due and returns the IDs.
func (f *fixture) due(limit int) []string {
	f.Helper()
	due, err := f.store.DueRevocations(ctx(), issuer, limit, f.now, f.now.Add(time.Minute))
	f.must(err)
	var ids []string
	for _, r := range due {
		ids = append(ids, r.ID)
	}
	return ids
}

func (f *fixture) browserSession(name string, who storage.Identity) storage.BrowserSession {
	return storage.BrowserSession{
		Hash: hash("cookie %s", name), Issuer: issuer, Identity: who, CreatedAt: f.now,
		ExpiresAt: f.now.Add(30 * 24 * time.Hour),
	}
}

// signedIn tells whether a browser session lives.
func (f *fixture) signedIn(name string, want bool) {
	f.Helper()
	_, err := f.store.BrowserSession(ctx(), hash("cookie %s", name), f.now)
	if err != nil && err != storage.ErrNotFound {
		f.Fatal(err)
	}
	f.equal(err == nil, want)
}
