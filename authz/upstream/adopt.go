package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Adopt returns the connections of a flow, sealed for their future owner, for
// the transaction that ends the flow (storage.Submission). It changes nothing.
func (b *Broker) Adopt(ctx context.Context, flowID, owner string) ([]storage.Connection, error) {
	now := b.deps.Now()
	made, err := b.deps.Store.ConnectionsOf(ctx, b.cfg.Issuer, storage.FlowOwner(flowID), now)
	if err != nil {
		return nil, err
	}
	adopted := make([]storage.Connection, 0, len(made))
	for _, c := range made {
		opened, err := b.openConnection(c)
		if err != nil {
			return nil, err
		}
		c.Owner = owner
		existing, err := b.deps.Store.Connection(ctx, c.ConnectionKey, now)
		switch {
		case err == nil: // connecting again keeps the public handle
			c.ID, c.CreatedAt = existing.ID, existing.CreatedAt
		case !errors.Is(err, storage.ErrNotFound):
			return nil, err
		}
		c.Secret = b.sealSecrets(c.ConnectionKey, c.ID, opened)
		c.UpdatedAt, c.ExpiresAt = now, time.Time{}
		adopted = append(adopted, c)
	}
	return adopted, nil
}

// Adopted tells that the transaction with these connections was committed.
func (b *Broker) Adopted(connections []storage.Connection) {
	for _, c := range connections {
		b.deps.Cache.Forget(c.ConnectionKey)
	}
}
