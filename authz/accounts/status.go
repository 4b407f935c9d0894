package accounts

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Status is how an owner stands with a server.
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

// Status returns how the owner stands with each server that is theirs to
// connect, in the order of the configuration: for storage.SharedOwner those
// that an operator connects, for anybody else the per-user ones.
func (b *Broker) Status(ctx context.Context, owner string) ([]Status, error) {
	now := b.deps.Now()
	connections, err := b.deps.Store.ConnectionsOf(ctx, b.cfg.Issuer, owner, now)
	if err != nil {
		return nil, err
	}
	byServer := make(map[string]storage.Connection, len(connections))
	for _, c := range connections {
		byServer[c.Server] = c
	}
	var all []Status
	for i := range b.cfg.Servers {
		s := &b.cfg.Servers[i]
		if owner == storage.SharedOwner && s.Mode != OAuth || owner != storage.SharedOwner && !s.Mode.PerUser() {
			continue
		}
		c, connected := byServer[s.ID]
		status := Status{Server: s.ID, ID: c.ID, Scopes: c.Scopes, Since: c.CreatedAt, ExpiresAt: c.TokenExpiresAt}
		if connected {
			status.State = b.stateOf(s, c, now)
		}
		all = append(all, status)
	}
	return all, nil
}

// stateOf returns the state that the next call would find.
func (b *Broker) stateOf(s *Server, c storage.Connection, now time.Time) storage.ConnectionState {
	h, opened, err := b.decrypt(s, c, now)
	if err != nil || h.state == storage.Active && opened.RefreshToken == "" && h.due(now) {
		return storage.NeedsReauth
	}
	return h.state
}
