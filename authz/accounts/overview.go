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

// ErrUnknownRegistration: there is no dynamic registration for this server.
var ErrUnknownRegistration = errors.New("upstream: no such registration")

// Overviews returns all connections of the site.
func (b *Broker) Overviews(ctx context.Context) ([]Overview, error) {
	now := b.deps.Now()
	stored, err := b.deps.Store.ConnectionsOf(ctx, b.cfg.Issuer, "", now)
	if err != nil {
		return nil, err
	}
	all := make([]Overview, len(stored))
	for i, c := range stored {
		all[i] = b.overview(c, now)
	}
	return all, nil
}

// Overview returns the connection with the ID, or of the ID of a server that
// everybody shares one connection to.
func (b *Broker) Overview(ctx context.Context, id string) (Overview, error) {
	now := b.deps.Now()
	c, err := b.deps.Store.ConnectionByID(ctx, b.cfg.Issuer, id, now)
	if s := b.servers[id]; errors.Is(err, storage.ErrNotFound) && s != nil && s.Mode == OAuth {
		c, err = b.deps.Store.Connection(ctx, b.key(storage.SharedOwner, s), now)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return Overview{}, ErrUnknownConnection
	}
	if err != nil {
		return Overview{}, err
	}
	return b.overview(c, now), nil
}

func (b *Broker) overview(c storage.Connection, now time.Time) Overview {
	digest := sha256.Sum256(c.Secret) // of what is sealed, so it tells nothing
	o := Overview{
		ID: c.ID, Server: c.Server, Owner: c.Owner, State: c.State, Scopes: c.Scopes, TokenID: hex.EncodeToString(digest[:8]),
		Pending:   strings.HasPrefix(c.Owner, storage.FlowOwner("")),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, TokenExpiresAt: c.TokenExpiresAt, ExpiresAt: c.ExpiresAt,
	}
	if len(c.Secret) == 0 {
		o.TokenID = ""
	}
	if s := b.servers[c.Server]; s != nil {
		o.Mode, o.State = s.Mode, b.stateOf(s, c, now)
	}
	o.Expired = c.State == storage.Active && o.State == storage.NeedsReauth && reached(c.TokenExpiresAt, now)
	return o
}
