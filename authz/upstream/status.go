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
	State     storage.ConnectionState
	ID        string
	Scopes    []string
	Since     time.Time
	ExpiresAt time.Time
}

// Status returns how the owner stands with each per-user server, in the order
// of the configuration.
func (b *Broker) Status(ctx context.Context, owner string) ([]Status, error) { return nil, nil }
