package accounts

import (
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// maxAway bounds how many people on their way are remembered for each client.
const maxAway = 64

// departures has, for each client that we are at a provider, who left for it
// and did not come back. A provider that does not know the client keeps people
// on an error page of its own. Only this process knows; one that starts has to
// lose somebody again.
type departures struct {
	mu    sync.Mutex // guards byKey and what it holds
	byKey map[string]*departure
}

type departure struct {
	// returned tells that the provider knew the client, and that nobody has
	// left since.
	returned bool
	// away has when each owner left who has not come back.
	away map[string]time.Time
	// lost counts those who did not come back, and answers of the provider
	// that said neither yes nor no.
	lost int
}

// departureKey names a client in departures.
func (b *Broker) departureKey(s *Server, clientID string) string {
	return flightKey(storage.ConnectionKey{Issuer: b.cfg.Issuer, Owner: clientID, Server: s.ID})
}

func (d *departures) get(key string) *departure {
	if d.byKey == nil {
		d.byKey = map[string]*departure{}
	}
	if d.byKey[key] == nil {
		d.byKey[key] = &departure{away: map[string]time.Time{}}
	}
	return d.byKey[key]
}

// of reports whether the provider is known to know the client, and how many
// were lost. Who leaves again was, and so was who could not come back any more.
func (d *departures) of(key, owner string, now time.Time) (returned bool, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.get(key)
	for other, left := range c.away {
		if other == owner || now.Sub(left) >= tripLifetime {
			delete(c.away, other)
			c.lost++
		}
	}
	return c.returned, c.lost
}

// left notes that an owner leaves for the provider.
func (d *departures) left(key, owner string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.get(key)
	c.returned = false
	if len(c.away) < maxAway {
		c.away[owner] = now
	}
}

// cameBack notes that the provider knows the client: nobody who left before
// was lost through that.
func (d *departures) cameBack(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.get(key)
	c.returned, c.lost = true, 0
	clear(c.away)
}

// doubt notes that the provider refused the client without saying why.
func (d *departures) doubt(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.get(key)
	c.returned = false
	c.lost++
}

// forget drops what is known about a client that is no longer ours.
func (d *departures) forget(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byKey, key)
}
