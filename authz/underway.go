package authz

import (
	"sync"
	"time"
)

// maxUnderway is more than the registrations that wait for an approval by
// default.
const maxUnderway = 1 << 14

// underway remembers, in bounded memory, which registered clients have a person
// on the page right now. It is lost with the configuration: then they are only
// as safe from a flood of registrations as any other.
type underway struct {
	mu     sync.Mutex // guards begun
	begun  *lru[string, time.Time]
	now    func() time.Time
	within time.Duration
}

func newUnderway(now func() time.Time, within time.Duration) *underway {
	return &underway{begun: newLRU[string, time.Time](maxUnderway), now: now, within: within}
}

// note tells that a person was sent to the pages for a client.
func (u *underway) note(c *Client) {
	if c.Origin != Registered {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun.put(c.ID, u.now())
}

// has reports whether a person may still be on the page for the client.
func (u *underway) has(clientID string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.begun.get(clientID)
	return ok && u.now().Before(at.Add(u.within))
}
