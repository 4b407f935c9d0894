package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connections changes the records of connections: a new one is saved, a flow's
// becomes the person's, one is ended.
type connections struct {
	*site
	statuses *statuses
	b        *Broker
}

// Adopt returns the connections of a flow, sealed for their future owner, for
// the transaction that ends the flow (storage.Submission). What somebody else
// connected in it is ended instead. So is what would take the place of a
// connection that the person made elsewhere since they began, or of one that
// they ended; the transaction is then refused, so that they see how it is now.
func (cs *connections) Adopt(ctx context.Context, flowID, owner string) ([]storage.Connection, error) {
	now := cs.deps.Now()
	made, err := cs.deps.Store.ConnectionsOf(ctx, cs.cfg.Issuer, storage.FlowOwner(flowID), now)
	if err != nil {
		return nil, err
	}
	adopted := make([]storage.Connection, 0, len(made))
	for _, c := range made {
		opened, err := cs.openConnection(c)
		if err != nil {
			return nil, err
		}
		if opened.Person != owner {
			if err := cs.Disconnect(ctx, c.Owner, c.Server); err != nil {
				return nil, err
			}
			continue
		}
		c.Owner = owner
		existing, err := cs.find(ctx, c.ConnectionKey)
		if err != nil {
			return nil, err
		}
		if existing.ID != opened.Persons {
			// The transaction will find it gone, and the person look again.
			if err := cs.Disconnect(ctx, storage.FlowOwner(flowID), c.Server); err != nil {
				return nil, err
			}
		}
		if existing.ID != "" { // connecting again keeps the public handle
			c.ID, c.CreatedAt = existing.ID, existing.CreatedAt
		}
		opened.Person, opened.Persons = "", ""
		c.Secret = cs.sealSecrets(c.ConnectionKey, c.ID, opened)
		c.UpdatedAt, c.ExpiresAt, c.OnExpiry = now, time.Time{}, nil
		c.Revokes = cs.b.revocationOfReplaced(existing, opened.Link)
		adopted = append(adopted, c)
	}
	return adopted, nil
}

// Adopted tells that the transaction with these connections was committed. The
// providers of those that were replaced are told at the next RevokeDue.
func (cs *connections) Adopted(adopted []storage.Connection) {
	for _, c := range adopted {
		cs.deps.Shared.Forget(c.ConnectionKey)
	}
}

// Disconnect ends a connection here at once, together with connect requests
// that are still under way, and at the provider as soon as that answers, where
// it has a way to (RFC 7009). A connection that does not exist is no error.
//
// The owner is the one it was connected for: storage.SharedOwner for a
// connection that everybody uses.
func (cs *connections) Disconnect(ctx context.Context, owner, server string) error {
	k := storage.ConnectionKey{Issuer: cs.cfg.Issuer, Owner: owner, Server: server}
	c, err := cs.deps.Store.Connection(ctx, k, cs.deps.Now())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	c.ConnectionKey = k
	for {
		var queue *storage.ProviderRevocation
		if c.ID != "" {
			queue = cs.b.revocationOf(c)
		}
		if queue != nil {
			cs.b.handOut(queue)
		}
		current, verdict, err := cs.deps.Store.Disconnect(ctx, c, queue, cs.deps.Now())
		switch {
		case err != nil:
			return err
		case verdict == storage.Changed: // refreshed at the same time: those tokens are to be revoked
			c = current
			continue
		}
		cs.deps.Shared.Forget(k)
		if verdict == storage.OK {
			cs.statuses.ended(c)
		}
		if queue != nil {
			cs.b.revokeNow(ctx, queue)
		}
		return nil
	}
}

// EndStarted ends the connect requests of what was started for everybody and is
// not connected yet. It is ErrUnknownConnection if nobody remembers a start; the
// requests are ended all the same.
func (cs *connections) EndStarted(ctx context.Context, server string) (Overview, error) {
	s := cs.servers[server]
	if s == nil || s.Mode != OAuth {
		return Overview{}, ErrUnknownConnection
	}
	o, unknown := cs.statuses.Recent(server) // before a connection that is made just now ends with it
	if err := cs.Disconnect(ctx, storage.SharedOwner, server); err != nil {
		return Overview{}, err
	}
	if unknown != nil || !o.Pending {
		return Overview{}, ErrUnknownConnection
	}
	cs.statuses.remember(cs.key(storage.SharedOwner, s), Overview{State: storage.Disconnected}, cs.deps.Now().Add(endedLifetime))
	return cs.statuses.Recent(server)
}
