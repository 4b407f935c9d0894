package accounts

import (
	"context"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// endedLifetime is how long an operator can see that a connection was ended.
	endedLifetime = 24 * time.Hour
	// maxPassing bounds how many states without a record are remembered.
	maxPassing = 1 << 10
)

// passing has the states that operators may ask for and that the store has no
// record of: a shared connection that was started or refused, any that was
// ended. Nothing is decided by it; a process that starts knows none.
type passing struct {
	mu    sync.Mutex // guards byKey
	byKey map[storage.ConnectionKey]passingState
}

type passingState struct {
	overview Overview
	until    time.Time
}

func (p *passing) put(k storage.ConnectionKey, o Overview, now, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKey == nil {
		p.byKey = make(map[storage.ConnectionKey]passingState)
	}
	if _, replaces := p.byKey[k]; !replaces && len(p.byKey) >= maxPassing {
		p.makeRoom(now)
	}
	p.byKey[k] = passingState{o, until}
}

// makeRoom drops what is over, or else what is over first.
func (p *passing) makeRoom(now time.Time) {
	var first storage.ConnectionKey
	for k, s := range p.byKey {
		if !now.Before(s.until) {
			delete(p.byKey, k)
		} else if earliest, ok := p.byKey[first]; !ok || s.until.Before(earliest.until) {
			first = k
		}
	}
	if len(p.byKey) >= maxPassing {
		delete(p.byKey, first)
	}
}

// find returns the state of the connection with the ID, or of what everybody
// shares at the server of that ID.
func (p *passing) find(issuer, id string, now time.Time) (Overview, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, s := range p.byKey {
		named := s.overview.ID == id || k.Owner == storage.SharedOwner && k.Server == id
		if named && k.Issuer == issuer && now.Before(s.until) {
			return s.overview, true
		}
	}
	return Overview{}, false
}

// Passing returns what became of a connection for which Overview has nothing
// any more, or nothing yet: its Pending or Failed is set, or its State is
// storage.Disconnected. It is ErrUnknownConnection if nobody remembers.
func (b *Broker) Passing(id string) (Overview, error) {
	o, ok := b.deps.Cache.passing.find(b.cfg.Issuer, id, b.deps.Now())
	if !ok {
		return Overview{}, ErrUnknownConnection
	}
	return o, nil
}

// Started tells that an operator was given the link, good until then, on which
// the server is connected for everybody.
func (b *Broker) Started(server string, until time.Time) {
	if s := b.servers[server]; s != nil && s.Mode == OAuth {
		b.pass(b.key(storage.SharedOwner, s), Overview{Pending: true}, until)
	}
}

// EndStarted ends the trips of what was started for everybody and is not
// connected yet. It is ErrUnknownConnection if nobody remembers a start; the
// trips are ended all the same.
func (b *Broker) EndStarted(ctx context.Context, server string) (Overview, error) {
	s := b.servers[server]
	if s == nil || s.Mode != OAuth {
		return Overview{}, ErrUnknownConnection
	}
	o, unknown := b.Passing(server) // before a connection that is made just now ends with it
	if err := b.Disconnect(ctx, storage.SharedOwner, server); err != nil {
		return Overview{}, err
	}
	if unknown != nil || !o.Pending {
		return Overview{}, ErrUnknownConnection
	}
	b.pass(b.key(storage.SharedOwner, s), Overview{State: storage.Disconnected}, b.deps.Now().Add(endedLifetime))
	return b.Passing(server)
}

// tripEnded tells how a trip ended. Where it led to a connection, the record of
// that says more.
func (b *Broker) tripEnded(k storage.ConnectionKey, err error) {
	if err != nil && k.Owner == storage.SharedOwner {
		b.pass(k, Overview{Failed: true}, b.deps.Now().Add(endedLifetime))
	}
}

// pass remembers what there is no record of.
func (b *Broker) pass(k storage.ConnectionKey, o Overview, until time.Time) {
	now := b.deps.Now()
	o.Server, o.Owner, o.CreatedAt, o.UpdatedAt, o.ExpiresAt = k.Server, k.Owner, now, now, until
	if s := b.servers[k.Server]; s != nil {
		o.Mode = s.Mode
	}
	b.deps.Cache.passing.put(k, o, now, until)
}

// ended remembers a connection that was ended.
func (b *Broker) ended(c storage.Connection) {
	now := b.deps.Now()
	o := b.overview(c, now)
	if o.Pending { // a flow's, which was nobody's yet
		return
	}
	o.State, o.Expired, o.UpdatedAt, o.TokenID, o.TokenExpiresAt = storage.Disconnected, false, now, "", time.Time{}
	b.deps.Cache.passing.put(c.ConnectionKey, o, now, now.Add(endedLifetime))
}
