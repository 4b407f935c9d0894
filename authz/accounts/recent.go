package accounts

import (
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const (
	// endedLifetime is how long an operator can see that a connection was ended.
	endedLifetime = 24 * time.Hour
	// maxRecent bounds how many states without a record are remembered.
	maxRecent = 1 << 10
)

// recentStatuses has what operators may ask for and the store has no record
// of: a shared connection that was started or refused, any that was
// ended. Nothing is decided by it; a process that starts knows none.
type recentStatuses struct {
	mu    sync.Mutex // guards byKey
	byKey map[storage.ConnectionKey]recentStatus
}

type recentStatus struct {
	overview Overview
	until    time.Time
}

func (r *recentStatuses) put(k storage.ConnectionKey, o Overview, now, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey = make(map[storage.ConnectionKey]recentStatus)
	}
	if _, replaces := r.byKey[k]; !replaces && len(r.byKey) >= maxRecent {
		r.makeRoom(now)
	}
	r.byKey[k] = recentStatus{o, until}
}

// makeRoom drops what is over, or else what is over first.
func (r *recentStatuses) makeRoom(now time.Time) {
	var first storage.ConnectionKey
	for k, s := range r.byKey {
		if !now.Before(s.until) {
			delete(r.byKey, k)
		} else if earliest, ok := r.byKey[first]; !ok || s.until.Before(earliest.until) {
			first = k
		}
	}
	if len(r.byKey) >= maxRecent {
		delete(r.byKey, first)
	}
}

// find returns the state of the connection with the ID, or of what everybody
// shares at the server of that ID.
func (r *recentStatuses) find(issuer, id string, now time.Time) (Overview, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, s := range r.byKey {
		named := s.overview.ID == id || k.Owner == storage.SharedOwner && k.Server == id
		if named && k.Issuer == issuer && now.Before(s.until) {
			return s.overview, true
		}
	}
	return Overview{}, false
}

// Recent returns what became of a connection for which Overview has nothing
// any more, or nothing yet: its Pending or Failed is set, or its State is
// storage.Disconnected. It is ErrUnknownConnection if nobody remembers.
func (v *statuses) Recent(id string) (Overview, error) {
	o, ok := v.deps.Shared.recent.find(v.cfg.Issuer, id, v.deps.Now())
	if !ok {
		return Overview{}, ErrUnknownConnection
	}
	return o, nil
}

// Started tells that an operator was given the link, good until then, on which
// the server is connected for everybody.
func (v *statuses) Started(server string, until time.Time) {
	if s := v.servers[server]; s != nil && s.Mode == OAuth {
		v.remember(v.key(storage.SharedOwner, s), Overview{Pending: true}, until)
	}
}

// connectEnded notes how connecting ended. Where it led to a connection, the
// record of that says more.
func (v *statuses) connectEnded(k storage.ConnectionKey, err error) {
	if err != nil && k.Owner == storage.SharedOwner {
		v.remember(k, Overview{Failed: true}, v.deps.Now().Add(endedLifetime))
	}
}

// remember notes what there is no record of.
func (v *statuses) remember(k storage.ConnectionKey, o Overview, until time.Time) {
	now := v.deps.Now()
	o.Server, o.Owner, o.CreatedAt, o.UpdatedAt, o.ExpiresAt = k.Server, k.Owner, now, now, until
	if s := v.servers[k.Server]; s != nil {
		o.Mode = s.Mode
	}
	v.deps.Shared.recent.put(k, o, now, until)
}

// ended remembers a connection that was ended.
func (v *statuses) ended(c storage.Connection) {
	now := v.deps.Now()
	o := v.overview(c, now)
	if o.Pending { // a flow's, which was nobody's yet
		return
	}
	o.State, o.Expired, o.UpdatedAt, o.TokenID, o.TokenExpiresAt = storage.Disconnected, false, now, "", time.Time{}
	v.deps.Shared.recent.put(c.ConnectionKey, o, now, now.Add(endedLifetime))
}
