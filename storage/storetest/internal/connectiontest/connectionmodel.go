package connectiontest

import (
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connectionModel is the contract of storage.Connections once more, as plainly
// as it can be said.
type connectionModel struct {
	connections map[storage.ConnectionKey]*storage.Connection
	states      map[string]*storage.ConnectState // by name
	submitted   map[string]bool                  // by flow
	// queued are the IDs of revocations that are in the queue, and unswept
	// those that are as soon as their connection is swept.
	queued, unswept map[string]bool
}

func newConnectionModel() *connectionModel {
	return &connectionModel{
		connections: map[storage.ConnectionKey]*storage.Connection{},
		states:      map[string]*storage.ConnectState{},
		submitted:   map[string]bool{},
		queued:      map[string]bool{},
		unswept:     map[string]bool{},
	}
}

func (m *connectionModel) connection(k storage.ConnectionKey, now time.Time) *storage.Connection {
	c := m.connections[k]
	if c == nil || !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(now) {
		return nil
	}
	return c
}

func (m *connectionModel) put(c storage.ConnectionReplacement, now time.Time) storage.Verdict {
	old := m.connection(c.ConnectionKey, now)
	if old == nil && c.Revision != 0 || old != nil && (old.Revision != c.Revision || old.ID != c.ID) {
		return storage.Changed
	}
	c.Revision++
	c.Lease, c.LeaseUntil = "", time.Time{}
	m.replace(c, now)
	return storage.OK
}

// replace is what every way to store a connection has in common.
func (m *connectionModel) replace(c storage.ConnectionReplacement, now time.Time) {
	m.expire(c.ConnectionKey, now)
	if c.Revokes != nil {
		m.queued[c.Revokes.ID] = true
	}
	m.connections[c.ConnectionKey] = &c.Connection
	if c.OnExpiry != nil {
		m.unswept[c.OnExpiry.ID] = true
	}
}

// expire ends what the connection with the key wants queued: it is, from now
// on, if the connection has expired, and else never.
func (m *connectionModel) expire(k storage.ConnectionKey, now time.Time) {
	c := m.connections[k]
	if c == nil || c.OnExpiry == nil || !m.unswept[c.OnExpiry.ID] {
		return
	}
	delete(m.unswept, c.OnExpiry.ID)
	if !c.ExpiresAt.After(now) {
		m.queued[c.OnExpiry.ID] = true
	}
}

func (m *connectionModel) lease(of storage.Connection, holder string, until, now time.Time) storage.Verdict {
	c := m.connection(of.ConnectionKey, now)
	switch {
	case c == nil:
		return storage.Unknown
	case c.State != storage.Active && c.State != storage.InDoubt:
		return storage.Changed
	case c.Lease != "" && c.LeaseUntil.After(now):
		return storage.LeaseHeld
	case c.Lease != "":
		c.State, c.UpdatedAt, c.Lease, c.LeaseUntil = storage.InDoubt, now, "", time.Time{}
		c.Revision++
		return storage.LeaseExpired
	case c.ID != of.ID || c.Revision != of.Revision:
		return storage.Changed
	}
	c.Lease, c.LeaseUntil = holder, until
	if c.State == storage.InDoubt {
		c.Retries++
	}
	c.Revision++
	return storage.OK
}

func (m *connectionModel) disconnect(c storage.Connection, now time.Time) storage.Verdict {
	verdict := storage.Unknown
	if current := m.connection(c.ConnectionKey, now); current != nil {
		if current.ID != c.ID || current.Revision != c.Revision {
			return storage.Changed
		}
		verdict = storage.OK
	}
	m.expire(c.ConnectionKey, now)
	delete(m.connections, c.ConnectionKey)
	m.removeStates(func(t *storage.ConnectState) bool { return t.ConnectionKey == c.ConnectionKey })
	return verdict
}

func (m *connectionModel) removeStates(which func(*storage.ConnectState) bool) {
	for name, t := range m.states {
		if which(t) {
			delete(m.states, name)
		}
	}
}

func (m *connectionModel) claim(name string, browser storage.Hash, now time.Time) storage.Verdict {
	t := m.states[name]
	switch {
	case t == nil || !t.ExpiresAt.After(now):
		return storage.Unknown
	case t.Browser != browser:
		return storage.WrongBrowser
	}
	delete(m.states, name)
	return storage.OK
}

// of returns what an owner has, by server.
func (m *connectionModel) of(owner string, now time.Time) []storage.Connection {
	var of []storage.Connection
	for k := range m.connections {
		if c := m.connection(k, now); c != nil && k.Owner == owner {
			of = append(of, *c)
		}
	}
	slices.SortFunc(of, func(a, b storage.Connection) int {
		if a.Server < b.Server {
			return -1
		}
		return 1
	})
	return of
}

func (m *connectionModel) submit(sub storage.Submission) storage.Verdict {
	owner := storage.FlowOwner(sub.FlowID)
	of := m.of(owner, sub.Now)
	if m.submitted[sub.FlowID] {
		return storage.Submitted
	}
	if sub.Grant != nil {
		same := slices.EqualFunc(of, sub.Adopt, func(a storage.Connection, b storage.ConnectionReplacement) bool {
			replaced := a.ID
			if old := m.connection(b.ConnectionKey, sub.Now); old != nil {
				replaced = old.ID
			}
			return a.Server == b.Server && a.Revision == b.Revision && b.ID == replaced
		})
		if !same {
			return storage.Changed
		}
	}
	m.submitted[sub.FlowID] = true
	m.removeStates(func(t *storage.ConnectState) bool { return t.Owner == owner })
	for _, c := range of {
		m.expire(c.ConnectionKey, sub.Now)
		delete(m.connections, c.ConnectionKey)
	}
	for _, c := range sub.Adopt {
		c.Revision = 1
		if old := m.connection(c.ConnectionKey, sub.Now); old != nil {
			c.Revision = old.Revision + 1
		}
		c.ExpiresAt, c.OnExpiry, c.Lease, c.LeaseUntil = time.Time{}, nil, "", time.Time{}
		m.replace(c, sub.Now)
	}
	return storage.OK
}
