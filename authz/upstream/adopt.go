package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Adopt returns the connections of a flow, sealed for their future owner, for
// the transaction that ends the flow (storage.Submission). What somebody else
// connected in it, and brought back only after it had become the owner's, is
// ended instead.
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
		if opened.Person != owner {
			if err := b.Disconnect(ctx, c.Owner, c.Server); err != nil {
				return nil, err
			}
			continue
		}
		c.Owner, opened.Person = owner, ""
		existing, err := b.deps.Store.Connection(ctx, c.ConnectionKey, now)
		switch {
		case err == nil: // connecting again keeps the public handle
			c.ID, c.CreatedAt = existing.ID, existing.CreatedAt
		case !errors.Is(err, storage.ErrNotFound):
			return nil, err
		}
		c.Secret = b.sealSecrets(c.ConnectionKey, c.ID, opened)
		c.UpdatedAt, c.ExpiresAt, c.OnExpiry = now, time.Time{}, nil
		c.Revokes = b.revocationOfReplaced(existing, opened.Link)
		adopted = append(adopted, c)
	}
	return adopted, nil
}

// Adopted tells that the transaction with these connections was committed. The
// providers of those that were replaced are told at the next RevokeDue.
func (b *Broker) Adopted(connections []storage.Connection) {
	for _, c := range connections {
		b.deps.Cache.Forget(c.ConnectionKey)
	}
}
