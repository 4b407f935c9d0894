package accounts

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Adopt returns the connections of a flow, sealed for their future owner, for
// the transaction that ends the flow (storage.Submission). What somebody else
// connected in it is ended instead. So is what would take the place of a
// connection that the person made elsewhere since they began, or of one that
// they ended; the transaction is then refused, so that they see how it is now.
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
		c.Owner = owner
		existing, err := b.find(ctx, c.ConnectionKey)
		if err != nil {
			return nil, err
		}
		if existing.ID != opened.Persons {
			// The transaction will find it gone, and the person look again.
			if err := b.Disconnect(ctx, storage.FlowOwner(flowID), c.Server); err != nil {
				return nil, err
			}
		}
		if existing.ID != "" { // connecting again keeps the public handle
			c.ID, c.CreatedAt = existing.ID, existing.CreatedAt
		}
		opened.Person, opened.Persons = "", ""
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
