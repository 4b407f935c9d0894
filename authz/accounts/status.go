package accounts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// statuses tells people and operators what became of connections. Nothing is
// decided by it.
type statuses struct{ *site }

// Status is what became of an owner's connection to a server.
type Status struct {
	Server string
	// State is empty while the owner has not connected the server.
	State storage.ConnectionState
	// ID is the public handle of the connection.
	ID     string
	Scopes []string
	// Since is when the owner first connected the server.
	Since time.Time
	// ExpiresAt is when the access token ends; zero when nobody said.
	ExpiresAt time.Time
}

// Status returns the status of each server that is the owner's to connect, in
// the order of the configuration: for storage.SharedOwner those
// that an operator connects, for anybody else the per-user ones.
func (v *statuses) Status(ctx context.Context, owner string) ([]Status, error) {
	now := v.deps.Now()
	connections, err := v.deps.Store.ConnectionsOf(ctx, v.cfg.Issuer, owner, now)
	if err != nil {
		return nil, err
	}
	byServer := make(map[string]storage.Connection, len(connections))
	for _, c := range connections {
		byServer[c.Server] = c
	}
	var all []Status
	for i := range v.cfg.Servers {
		s := &v.cfg.Servers[i]
		if owner == storage.SharedOwner && s.Mode != OAuth || owner != storage.SharedOwner && !s.Mode.PerUser() {
			continue
		}
		c, connected := byServer[s.ID]
		status := Status{Server: s.ID, ID: c.ID, Scopes: c.Scopes, Since: c.CreatedAt, ExpiresAt: c.TokenExpiresAt}
		if connected {
			status.State = v.stateOf(s, c, now)
		}
		all = append(all, status)
	}
	return all, nil
}

// stateOf returns the state that the next call would find.
func (v *statuses) stateOf(s *Server, c storage.Connection, now time.Time) storage.ConnectionState {
	h, opened, err := v.decrypt(s, c, now)
	if err != nil || h.state == storage.Active && opened.RefreshToken == "" && h.due(now) {
		return storage.NeedsReauth
	}
	return h.state
}

// Overview is what an operator may know of a connection: nothing that anybody
// could use.
type Overview struct {
	ID     string
	Server string
	// Owner is a subject, storage.SharedOwner, or the owner of a flow.
	Owner string
	Mode  Mode
	// State is the one that the next call would find.
	State storage.ConnectionState
	// Pending tells that the person has not ended the flow yet, or that an
	// operator has not connected yet what was started.
	Pending bool
	// Failed tells that what was started was refused.
	Failed bool
	// Expired tells that it needs reauthorization only because it came without
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

// Overviews returns all connections of the site.
func (v *statuses) Overviews(ctx context.Context) ([]Overview, error) {
	now := v.deps.Now()
	stored, err := v.deps.Store.ConnectionsOf(ctx, v.cfg.Issuer, "", now)
	if err != nil {
		return nil, err
	}
	all := make([]Overview, len(stored))
	for i, c := range stored {
		all[i] = v.overview(c, now)
	}
	return all, nil
}

// Overview returns the connection with the ID, or of the ID of a server that
// everybody shares one connection to.
func (v *statuses) Overview(ctx context.Context, id string) (Overview, error) {
	now := v.deps.Now()
	c, err := v.deps.Store.ConnectionByID(ctx, v.cfg.Issuer, id, now)
	if s := v.servers[id]; errors.Is(err, storage.ErrNotFound) && s != nil && s.Mode == OAuth {
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
	digest := sha256.Sum256(c.Secret) // of what is sealed, so it tells nothing
	o := Overview{
		ID: c.ID, Server: c.Server, Owner: c.Owner, State: c.State, Scopes: c.Scopes, TokenID: hex.EncodeToString(digest[:8]),
		Pending:   strings.HasPrefix(c.Owner, storage.FlowOwner("")),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, TokenExpiresAt: c.TokenExpiresAt, ExpiresAt: c.ExpiresAt,
	}
	if len(c.Secret) == 0 {
		o.TokenID = ""
	}
	if s := v.servers[c.Server]; s != nil {
		o.Mode, o.State = s.Mode, v.stateOf(s, c, now)
	}
	o.Expired = c.State == storage.Active && o.State == storage.NeedsReauth && reached(c.TokenExpiresAt, now)
	return o
}
