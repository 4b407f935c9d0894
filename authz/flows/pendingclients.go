package flows

import (
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
)

// maxPending is more than the registrations that wait for an approval by
// default.
const maxPending = 1 << 14

// pendingClients remembers, in bounded memory, which registered clients have a
// person on the page right now. It is lost with the configuration: then they are only
// as safe from a flood of registrations as any other.
type pendingClients struct {
	mu     sync.Mutex // guards begun
	begun  *cache.LRU[string, time.Time]
	now    func() time.Time
	within time.Duration
}

func newPendingClients(now func() time.Time, within time.Duration) *pendingClients {
	return &pendingClients{begun: cache.NewLRU[string, time.Time](maxPending), now: now, within: within}
}

// note records that a person was sent to the pages for a client.
func (p *pendingClients) note(c *clients.Client) {
	if c.Origin != clients.Registered {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun.Put(c.ID, p.now())
}

// has reports whether a person may still be on the page for the client.
func (p *pendingClients) has(clientID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.begun.Get(clientID)
	return ok && p.now().Before(at.Add(p.within))
}
