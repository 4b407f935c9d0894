package upstream

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Adopt returns the connections of a flow, sealed for their future owner, for
// the transaction that ends the flow.
func (b *Broker) Adopt(ctx context.Context, flowID, owner string) ([]storage.Connection, error) {
	return nil, nil
}
