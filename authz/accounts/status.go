package accounts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// statuses tells people and operators what became of connections. Nothing is
// decided by it.
type statuses struct{ *site }

// Status is what became of an owner's connection to a server.
type Status struct {
	Server string
	Owner  string // empty while nobody has connected the server
	// State is empty while the owner has not connected the server.
	State storage.ConnectionState
	// ID is the public handle of the connection.
	ID string
	// Account is what the person recognises the connected account by; empty if
	// the provider did not say, or the credentials work no more.
	Account string
	// Label is what they call it; empty if they did not say.
	Label  string
	Scopes []string
	// Since is when the owner first connected the server.
	Since time.Time
	// ExpiresAt is when the access token ends; zero when nobody said.
	ExpiresAt time.Time
}

// Status returns the status of each server that is the owner's to connect, in
// the order of the configuration: for storage.SharedOwner those
// that an operator connects, for anybody else the per-user ones. Where a person can
// have several accounts, those that they have follow, by their names.
func (v *statuses) Status(ctx context.Context, owner string) ([]Status, error) {
	now := v.deps.Now()
	connections, err := v.deps.Store.ConnectionsOf(ctx, v.cfg.Issuer, owner, now)
	if err != nil {
		return nil, err
	}
	byServer := make(map[string]storage.Connection, len(connections))
	accounts := map[string][]storage.Connection{}
	for _, c := range connections {
		byServer[c.Server] = c
		if id, account := config.SplitID(c.Server); account != "" {
			accounts[id] = append(accounts[id], c)
		}
	}
	var all []Status
	for _, s := range v.cfg.ConnectedServers() {
		if owner == storage.SharedOwner && s.Auth.Mode != config.OAuth || owner != storage.SharedOwner && !s.Auth.Mode.PerUser() {
			continue
		}
		if c, connected := byServer[s.ID]; connected {
			all = append(all, v.status(s, c, now))
		} else {
			all = append(all, Status{Server: s.ID})
		}
		for _, c := range accounts[s.ID] {
			if v.server(c.Server) == s {
				all = append(all, v.status(s, c, now))
			}
		}
	}
	return all, nil
}

// Connected returns the servers of the owner whose connection the next call can
// use.
func (v *statuses) Connected(ctx context.Context, owner string) ([]string, error) {
	all, err := v.Status(ctx, owner)
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, status := range all {
		if status.State == storage.Active {
			servers = append(servers, status.Server)
		}
	}
	return servers, nil
}

// look returns the state that the next call would find, and what is sealed.
func (v *statuses) look(s *config.Server, c storage.Connection, now time.Time) (storage.ConnectionState, secrets) {
	h, opened, err := v.decrypt(s, c)
	if err != nil || h.state == storage.Active && opened.RefreshToken == "" && h.due(now) {
		return storage.NeedsReauth, opened
	}
	return h.state, opened
}

// Overview is what an operator may know of a connection: nothing that anybody
// could use.
type Overview struct {
	ID     string
	Server string
	// Owner is a subject, storage.SharedOwner, or the owner of a flow.
	Owner string
	// Account is what its owner recognises the connected account by, if known.
	Account string
	Label   string // what its owner calls it
	Mode    config.Mode
	// State is the one that the next call would find.
	State storage.ConnectionState
	// Pending is set if the person has not ended the flow yet, or that an
	// operator has not connected yet what was started.
	Pending bool
	// Failed is set if what was started was refused.
	Failed bool
	// Expired is set if it needs reauthorization only because it came without
	// a way to renew it, and its time is over.
	Expired bool
	Scopes  []string
	// TokenID names the credentials and changes with them. It is no part of them.
	TokenID                              string
	CreatedAt, UpdatedAt, TokenExpiresAt time.Time
	// ExpiresAt is when a connection that does not last is forgotten.
	ExpiresAt time.Time
}

// ErrUnknownConnection: there is no connection with this ID.
var ErrUnknownConnection = errors.New("upstream: no such connection")

// Overviews returns a page of the connections of the site, from the first one
// behind after, and where to go on.
func (v *statuses) Overviews(ctx context.Context, after string, limit int) ([]Overview, string, error) {
	now := v.deps.Now()
	stored, next, err := v.deps.Store.Connections(ctx, v.cfg.Issuer, after, limit, now)
	return v.overviews(stored, now), next, err
}

// OverviewsOf returns all connections of an owner.
func (v *statuses) OverviewsOf(ctx context.Context, owner string) ([]Overview, error) {
	now := v.deps.Now()
	stored, err := v.deps.Store.ConnectionsOf(ctx, v.cfg.Issuer, owner, now)
	return v.overviews(stored, now), err
}

func (v *statuses) overviews(stored []storage.Connection, now time.Time) []Overview {
	all := make([]Overview, len(stored))
	for i, c := range stored {
		all[i] = v.overview(c, now)
	}
	return all
}

// Overview returns the connection with the ID, or of the ID of a server that
// everybody shares one connection to.
func (v *statuses) Overview(ctx context.Context, id string) (Overview, error) {
	now := v.deps.Now()
	c, err := v.deps.Store.ConnectionByID(ctx, v.cfg.Issuer, id, now)
	if s := v.servers[id]; errors.Is(err, storage.ErrNotFound) && s != nil && s.Auth.Mode == config.OAuth {
		c, err = v.deps.Store.Connection(ctx, v.key(storage.SharedOwner, s), now)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return Overview{}, ErrUnknownConnection
	}
	if err != nil {
		return Overview{}, err
	}
	return v.overview(c, now), nil
}

func (v *statuses) overview(c storage.Connection, now time.Time) Overview {
	digest := sha256.Sum256(c.Secret) // of what is sealed, so it reveals nothing
	o := Overview{
		ID: c.ID, Server: c.Server, Owner: c.Owner, State: c.State, Scopes: c.Scopes, TokenID: hex.EncodeToString(digest[:8]),
		Pending:   strings.HasPrefix(c.Owner, storage.FlowOwner("")),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, TokenExpiresAt: c.TokenExpiresAt, ExpiresAt: c.ExpiresAt,
	}
	if len(c.Secret) == 0 {
		o.TokenID = ""
	}
	if s := v.server(c.Server); s != nil {
		o.Mode = s.Auth.Mode
		state, opened := v.look(s, c, now)
		o.State, o.Account, o.Label = state, opened.Account, opened.Label
	}
	o.Expired = c.State == storage.Active && o.State == storage.NeedsReauth && reached(c.TokenExpiresAt, now)
	return o
}

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

// Started notes that an operator was given the link, good until then, on which
// the server is connected for everybody.
func (v *statuses) Started(server string, until time.Time) {
	if s := v.servers[server]; s != nil && s.Auth.Mode == config.OAuth {
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
	if s := v.server(k.Server); s != nil {
		o.Mode = s.Auth.Mode
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
