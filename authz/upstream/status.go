package upstream

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
	connections, err := b.deps.Store.ConnectionsOf(ctx, b.cfg.Issuer, owner, b.deps.Now())
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
		c := byServer[s.ID]
		all = append(all, Status{Server: s.ID, State: c.State, ID: c.ID, Scopes: c.Scopes, Since: c.CreatedAt, ExpiresAt: c.TokenExpiresAt})
	}
	return all, nil
}
