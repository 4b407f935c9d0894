package accounts

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// connections changes the records of connections: a new one is saved, a flow's
// becomes the person's, one is ended.
type connections struct {
	*site
	statuses *statuses
	revoker  *revoker
	pause    func(context.Context, time.Duration) error
}

// Adopt returns the connections of a flow, sealed for their future owner, for
// the transaction that ends the flow (storage.Submission). What somebody else
// connected in it is ended instead. So is what would take the place of a
// connection that the person made elsewhere since they began, or of one that
// they ended; the transaction is then refused, so that they see how it is now.
func (cs *connections) Adopt(ctx context.Context, flowID, owner string) ([]storage.ConnectionReplacement, error) {
	now := cs.deps.Now()
	made, err := cs.deps.Store.ConnectionsOf(ctx, cs.cfg.Issuer, storage.FlowOwner(flowID), now)
	if err != nil {
		return nil, err
	}
	adopted := make([]storage.ConnectionReplacement, 0, len(made))
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
		if existing.ID != opened.Replaces {
			// The transaction will find it gone, and the person look again.
			if err := cs.Disconnect(ctx, storage.FlowOwner(flowID), c.Server); err != nil {
				return nil, err
			}
		}
		if existing.ID != "" { // connecting again keeps the public handle
			c.ID, c.CreatedAt = existing.ID, existing.CreatedAt
		}
		opened.Person, opened.Replaces, opened.Label = "", "", cs.labelOf(existing)
		c.Secret = cs.sealSecrets(c.ConnectionKey, c.ID, opened)
		c.UpdatedAt, c.ExpiresAt, c.OnExpiry = now, time.Time{}, nil
		adopted = append(adopted, storage.ConnectionReplacement{Connection: c, Revokes: cs.revoker.revocationOfReplaced(existing, opened.Binding)})
	}
	return adopted, nil
}

// Adopted is called when the transaction with these connections is committed. The
// providers of those that were replaced are told at the next RevokeDue.
func (cs *connections) Adopted(adopted []storage.ConnectionReplacement) {
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
	k := cs.keyOf(owner, server)
	c, err := cs.deps.Store.Connection(ctx, k, cs.deps.Now())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	c.ConnectionKey = k
	for {
		var queue *storage.ProviderRevocation
		if c.ID != "" {
			queue = cs.revoker.revocationOf(c)
		}
		if queue != nil {
			cs.revoker.claimNew(queue)
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
			cs.record(ctx, c, event.Event{Kind: event.ConnectionDisconnected})
		}
		if queue != nil {
			cs.revoker.revokeNow(ctx, queue)
		}
		return nil
	}
}

// EndStarted ends the connect requests of what was started for everybody and is
// not connected yet. It is ErrUnknownConnection if nobody remembers a start; the
// requests are ended all the same.
func (cs *connections) EndStarted(ctx context.Context, server string) (Overview, error) {
	s := cs.servers[server]
	if s == nil || s.Auth.Mode != config.OAuth {
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

// singleUseLifetime is how long it is remembered that a connection was made
// with something that is good for one. It is longer than any two connect
// requests with the same can be apart.
const singleUseLifetime = 24 * time.Hour

var (
	errUsed  = client.Errorf(RequestEnded, "what the request began with has made a connection already")
	errEnded = client.Errorf(RequestEnded, "the connection was ended in the meantime")
	// errLeft is also what Answer.Present answers for a person who signed out.
	errLeft = client.Errorf(Left, "whoever began is not there any more")
)

// snapshot is what there was when a person began to connect something: the IDs of
// the connections, each empty if there was none. What they began replaces that
// and nothing else.
type snapshot struct {
	// Connection is the owner's.
	Connection string `json:"connection,omitempty"`
	// Persons is that of the person in whose pending flow it began, which is
	// replaced when the flow ends.
	Persons string `json:"persons,omitempty"`
	// Disconnect is the last one of the owner's: what began before another is
	// not kept, also where there was nothing to disconnect yet.
	Disconnect uint64 `json:"disconnect,omitempty"`
}

// snapshot returns what there is now. The owner's connection was read already.
func (cs *connections) snapshot(ctx context.Context, k storage.ConnectionKey, owners storage.Connection, p storage.Authentication) (snapshot, error) {
	last, err := cs.deps.Store.LastDisconnect(ctx, k)
	if err != nil {
		return snapshot{}, err
	}
	now := snapshot{Connection: owners.ID, Disconnect: last}
	if p.FlowID == "" {
		return now, nil
	}
	persons, err := cs.find(ctx, cs.keyOf(p.Identity.Subject, k.Server))
	now.Persons = persons.ID
	return now, err
}

// checkUnused finds out before the code is spent what storing the connection
// would find after it: no tokens are issued that would not be stored.
func (cs *connections) checkUnused(ctx context.Context, once storage.Hash) error {
	if once == (storage.Hash{}) {
		return nil
	}
	used, err := cs.deps.Store.Used(ctx, once, cs.deps.Now())
	if err == nil && used {
		return errUsed
	}
	return err
}

// save stores new credentials as the owner's connection, if the person is still
// there, in place of the one that they saw, if any: it neither brings back a
// connection that was ended in the meantime, nor replaces one that was made.
// The provider is told of credentials that are not saved.
func (cs *connections) save(ctx context.Context, c storage.ConnectionReplacement, p storage.Authentication, before snapshot, s secrets) error {
	now := cs.deps.Now()
	current, err := cs.find(ctx, c.ConnectionKey)
	if err != nil {
		return err
	}
	s.Epoch = uuid.NewString()
	if p != (storage.Authentication{}) {
		c.Authentication = &p
	}
	if p.FlowID != "" {
		s.Person, s.Replaces = p.Identity.Subject, before.Persons
	}
	c.LastDisconnect = &before.Disconnect
	c.OnExpiry = cs.revoker.revocationOnExpiry(c.Connection, s)
	for {
		if current.ID != before.Connection {
			cs.revoker.revokeUnsaved(ctx, c.Connection, s, current.ID == "")
			return cs.whyUnsaved(ctx, c, current)
		}
		c.ID, c.CreatedAt, c.Revision = current.ID, current.CreatedAt, current.Revision
		if c.ID == "" {
			c.ID, c.CreatedAt = uuid.NewString(), now
		}
		c.State, c.UpdatedAt, c.Lease, c.LeaseUntil = storage.Active, now, "", time.Time{}
		s.Label = cs.labelOf(current)
		c.Secret = cs.sealSecrets(c.ConnectionKey, c.ID, s)
		if c.Revokes = cs.revoker.revocationOfReplaced(current, s.Binding); c.Revokes != nil {
			cs.revoker.claimNew(c.Revokes)
		}
		stored, verdict, err := cs.deps.Store.ReplaceConnection(ctx, c, now)
		if err != nil {
			return err
		}
		switch verdict {
		case storage.AlreadyUsed:
			cs.revoker.revokeUnsaved(ctx, c.Connection, s, false)
			return errUsed
		case storage.SignedOut:
			cs.revoker.revokeUnsaved(ctx, c.Connection, s, false)
			return errLeft
		case storage.DisconnectedSince:
			cs.revoker.revokeUnsaved(ctx, c.Connection, s, stored.ID == "")
			return errEnded
		case storage.OK:
			cs.deps.Shared.Forget(c.ConnectionKey)
			cs.record(ctx, c.Connection, event.Event{
				Kind: event.ConnectionConnected, Person: p.Identity.Subject, Identity: p.Identity.Kind, Flow: p.FlowID,
			})
			if c.Revokes != nil {
				cs.revoker.revokeNow(ctx, c.Revokes)
			}
			return nil
		}
		current = stored // refreshed or connected at the same time
	}
}

// whyUnsaved returns what became of the connection that the person saw.
func (cs *connections) whyUnsaved(ctx context.Context, c storage.ConnectionReplacement, current storage.Connection) error {
	if c.UsesUp != nil {
		if err := cs.checkUnused(ctx, c.UsesUp.Hash); err != nil {
			return err
		}
	}
	if current.ID == "" {
		return errEnded
	}
	return client.Errorf(Replaced, "another connection was made in the meantime")
}
