package suite

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Connections is a fixture that also knows how to connect accounts.
type Connections struct{ *Fixture }

// NewConnections returns a fixture on a store.
func NewConnections(t *testing.T, s storage.Store) *Connections {
	return &Connections{NewFixture(t, s)}
}

const Provider = "https://provider.example.com"

func ConnectionKey(owner, server string) storage.ConnectionKey {
	return storage.ConnectionKey{Issuer: Issuer, Owner: owner, Server: server}
}

// Connection is new, and has an ID of its own.
func (f *Connections) Connection(owner, server string) storage.Connection {
	return storage.Connection{
		ConnectionKey: ConnectionKey(owner, server), ID: "c-" + owner + " " + server, State: storage.Active,
		Secret: []byte("sealed for " + owner), Provider: Provider, Scopes: []string{"read", "write"},
		TokenExpiresAt: f.Now.Add(time.Hour), CreatedAt: f.Now, UpdatedAt: f.Now,
	}
}

// FlowConnection is one that a flow made.
func (f *Connections) FlowConnection(flow, server string) storage.Connection {
	c := f.Connection(storage.FlowOwner(flow), server)
	c.ExpiresAt = f.Now.Add(15 * time.Minute)
	return c
}

// Put stores a connection and returns it as it is stored.
func (f *Connections) Put(c storage.Connection) storage.Connection {
	f.Helper()
	stored, v, err := f.Store.PutConnection(Ctx(), c, f.Now)
	f.Verdict(v, err, storage.OK)
	return stored
}

// Stored checks that a connection is stored as it is, and found both ways.
func (f *Connections) Stored(want storage.Connection) {
	f.Helper()
	got, err := f.Store.Connection(Ctx(), want.ConnectionKey, f.Now)
	f.Must(err)
	f.Equal(got, want)
	got, err = f.Store.ConnectionByID(Ctx(), want.Issuer, want.ID, f.Now)
	f.Must(err)
	f.Equal(got, want)
}

// NoConnection checks that there is none, by whatever way.
func (f *Connections) NoConnection(c storage.Connection) {
	f.Helper()
	_, err := f.Store.Connection(Ctx(), c.ConnectionKey, f.Now)
	f.WantError(err, storage.ErrNotFound)
	_, err = f.Store.ConnectionByID(Ctx(), c.Issuer, c.ID, f.Now)
	f.WantError(err, storage.ErrNotFound)
	of, err := f.Store.ConnectionsOf(Ctx(), c.Issuer, c.Owner, f.Now)
	f.Must(err)
	for _, other := range of {
		if other.Server == c.Server {
			f.Fatalf("it is still listed: %+v", other)
		}
	}
}

// Servers lists an owner's connections.
func (f *Connections) Servers(issuer, owner string) []string {
	f.Helper()
	of, err := f.Store.ConnectionsOf(Ctx(), issuer, owner, f.Now)
	f.Must(err)
	var servers []string
	for _, c := range of {
		servers = append(servers, c.Server)
	}
	return servers
}

func (f *Connections) Lease(c storage.Connection, holder string, want storage.Verdict) storage.Connection {
	f.Helper()
	got, v, err := f.Store.LeaseConnection(Ctx(), c, holder, f.Now.Add(time.Minute), f.Now)
	f.Verdict(v, err, want)
	return got
}

// Disconnect ends a connection and checks whether there was one.
func (f *Connections) Disconnect(k storage.ConnectionKey, want bool) {
	f.Helper()
	had, err := f.End(storage.Connection{ConnectionKey: k}, nil)
	f.Must(err)
	f.Equal(had, want)
}

// End ends a connection, whatever becomes of it meanwhile, and queues the
// revocation of what it had last. It reports whether there was one.
func (f *Connections) End(c storage.Connection, revocation func(storage.Connection) *storage.ProviderRevocation) (bool, error) {
	for {
		var queue *storage.ProviderRevocation
		if revocation != nil {
			queue = revocation(c)
		}
		current, v, err := f.Store.Disconnect(Ctx(), c, queue, f.Now)
		if err != nil || v != storage.Changed {
			return v == storage.OK, err
		}
		c = current
	}
}

func (f *Connections) LastDisconnect(k storage.ConnectionKey) uint64 {
	f.Helper()
	last, err := f.Store.LastDisconnect(Ctx(), k)
	f.Must(err)
	return last
}

// PutsSince stores a connection that was begun after a disconnect, and with any
// verdict but OK checks that nothing was changed.
func (f *Connections) PutsSince(k storage.ConnectionKey, last uint64, want storage.Verdict) storage.Connection {
	f.Helper()
	link := "link " + rand.Text()
	c := f.Using(f.Connection(k.Owner, k.Server), link)
	c.ConnectionKey, c.LastDisconnect = k, &last
	got, v, err := f.Store.ReplaceConnection(Ctx(), c, f.Now)
	f.Verdict(v, err, want)
	if want != storage.OK {
		f.NoConnection(c.Connection)
		f.Used(link, false)
		return c.Connection
	}
	f.Stored(got)
	return got
}

// ConnectState is one that was begun in browser "browser".
func (f *Connections) ConnectState(name, owner, server string) storage.ConnectState {
	return storage.ConnectState{
		Hash: Hash("state %s", name), ConnectionKey: ConnectionKey(owner, server), Browser: Hash("browser"),
		Provider: Provider, Session: Hash("session %s", name), Flow: "flow " + name, Client: "client " + name,
		Secret: []byte("sealed state " + name), ExpiresAt: f.Now.Add(15 * time.Minute),
	}
}

// SaveConnectState stores a connect state.
func (f *Connections) SaveConnectState(name, owner, server string) storage.ConnectState {
	f.Helper()
	state := f.ConnectState(name, owner, server)
	f.Must(f.Store.SaveConnectState(Ctx(), state))
	return state
}

// ClaimConnectState claims a connect state in its browser and expects a verdict.
func (f *Connections) ClaimConnectState(name string, want storage.Verdict) storage.ConnectState {
	f.Helper()
	got, v, err := f.Store.ClaimConnectState(Ctx(), Hash("state %s", name), Hash("browser"), f.Now)
	f.Verdict(v, err, want)
	return got
}

func (f *Connections) Revocation(id string) storage.ProviderRevocation {
	return storage.ProviderRevocation{
		ID: id, Issuer: Issuer, Server: "notion", Secret: []byte("sealed tokens " + id),
		DueAt: f.Now, ExpiresAt: f.Now.Add(24 * time.Hour),
	}
}

// Queue puts a revocation in the queue.
func (f *Connections) Queue(r storage.ProviderRevocation) {
	f.Helper()
	f.Must(f.Store.QueueRevocation(Ctx(), r))
}

// Due takes what is due and returns the IDs.
func (f *Connections) Due(limit int) []string {
	f.Helper()
	due, err := f.Store.DueRevocations(Ctx(), Issuer, limit, f.Now, f.Now.Add(time.Minute))
	f.Must(err)
	var ids []string
	for _, r := range due {
		ids = append(ids, r.ID)
	}
	return ids
}

// Connects stores what a person connected in a flow that is pending.
func (f *Connections) Connects(flow, server string) storage.Connection {
	f.Helper()
	v, err := f.Store.SaveFlow(Ctx(), f.Flow(flow), f.Now)
	f.Verdict(v, err, storage.OK)
	return f.Put(f.FlowConnection(flow, server))
}

// Adopted is the connection of a flow, for alice.
func (f *Connections) Adopted(c storage.Connection) storage.Connection {
	c.Owner = Alice.Subject
	c.Secret = []byte("sealed for alice")
	c.ExpiresAt = time.Time{}
	return c
}

// StillPending checks that nothing of a submission happened.
func (f *Connections) StillPending(flow string, connected ...storage.Connection) {
	f.Helper()
	f.NothingApproved(flow)
	got, err := f.Store.Flow(Ctx(), flow, f.Now)
	f.Must(err)
	f.Equal(got.Submitted, false)
	for _, c := range connected {
		f.Stored(c)
	}
	f.Equal(f.Servers(Issuer, Alice.Subject), []string(nil))
}

// Replacing are the connections, each to take the place of what its owner has.
func Replacing(connections ...storage.Connection) []storage.ConnectionReplacement {
	var replacements []storage.ConnectionReplacement
	for _, c := range connections {
		replacements = append(replacements, storage.ConnectionReplacement{Connection: c})
	}
	return replacements
}

// Revoking is the connection, with what it takes the place of.
func (f *Connections) Revoking(c storage.Connection, id string) storage.ConnectionReplacement {
	r := f.Revocation(id)
	return storage.ConnectionReplacement{Connection: c, Revokes: &r}
}

// Using is the connection, with what it uses up for a minute.
func (f *Connections) Using(c storage.Connection, value string) storage.ConnectionReplacement {
	return storage.ConnectionReplacement{
		Connection: c, UsesUp: &storage.OneTime{Hash: storage.HashOf(value), ExpiresAt: f.Now.Add(time.Minute)},
	}
}

// Replace stores what a person connected and returns it as it is stored.
func (f *Connections) Replace(c storage.ConnectionReplacement) storage.Connection {
	f.Helper()
	stored, v, err := f.Store.ReplaceConnection(Ctx(), c, f.Now)
	f.Verdict(v, err, storage.OK)
	return stored
}

// Abandoned is what a flow connected that nobody will finish.
func (f *Connections) Abandoned(flow, server string) storage.Connection {
	c := f.FlowConnection(flow, server)
	r := f.Revocation("abandoned " + flow)
	c.OnExpiry = &r
	return c
}

// Identified stores who the person of a flow is.
func (f *Connections) Identified(flow string) {
	f.Helper()
	v, err := f.Store.SaveFlow(Ctx(), f.Flow(flow), f.Now)
	f.Verdict(v, err, storage.OK)
}

func (f *Connections) UpstreamClient(server string) storage.UpstreamClient {
	return storage.UpstreamClient{
		Issuer: Issuer, Provider: Provider, Server: server, Secret: []byte("sealed client"), CreatedAt: f.Now,
	}
}

// Registers stores a registration in place of the one with the secret.
func (f *Connections) Registers(c storage.UpstreamClient, replaces []byte, want storage.Verdict) {
	f.Helper()
	v, err := f.Store.PutUpstreamClient(Ctx(), c, replaces, f.Now)
	f.Verdict(v, err, want)
}
