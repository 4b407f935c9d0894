package accounts

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// singleUseLifetime is how long it is remembered that a connection was made
// with something that is good for one. It is longer than any two connect
// requests with the same can be apart.
const singleUseLifetime = 24 * time.Hour

var (
	errUsed  = problemf(TripEnded, "what the trip began with has made a connection already")
	errEnded = problemf(TripEnded, "the connection was ended in the meantime")
	// errLeft is also what Answer.Present answers for somebody who left.
	errLeft = problemf(Left, "whoever began is not there any more")
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
func (cs *connections) snapshot(ctx context.Context, k storage.ConnectionKey, owners storage.Connection, s *Server, p storage.Authentication) (snapshot, error) {
	last, err := cs.deps.Store.LastDisconnect(ctx, k)
	if err != nil {
		return snapshot{}, err
	}
	now := snapshot{Connection: owners.ID, Disconnect: last}
	if p.FlowID == "" {
		return now, nil
	}
	persons, err := cs.find(ctx, cs.key(p.Identity.Subject, s))
	now.Persons = persons.ID
	return now, err
}

// checkUnused tells before the code is spent what storing the connection would
// tell after it: nobody gets tokens that would not be stored.
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
func (cs *connections) save(ctx context.Context, c storage.Connection, p storage.Authentication, before snapshot, s secrets) error {
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
		s.Person, s.Persons = p.Identity.Subject, before.Persons
	}
	c.LastDisconnect = &before.Disconnect
	c.OnExpiry = cs.b.revocationOnExpiry(c, s)
	for {
		if current.ID != before.Connection {
			cs.b.revokeUnkept(ctx, c, s, current.ID == "")
			return cs.whyUnsaved(ctx, c, current)
		}
		c.ID, c.CreatedAt, c.Revision = current.ID, current.CreatedAt, current.Revision
		if c.ID == "" {
			c.ID, c.CreatedAt = uuid.NewString(), now
		}
		c.State, c.UpdatedAt, c.Lease, c.LeaseUntil = storage.Active, now, "", time.Time{}
		c.Secret = cs.sealSecrets(c.ConnectionKey, c.ID, s)
		if c.Revokes = cs.b.revocationOfReplaced(current, s.Link); c.Revokes != nil {
			cs.b.handOut(c.Revokes)
		}
		stored, verdict, err := cs.deps.Store.PutConnection(ctx, c, now)
		if err != nil {
			return err
		}
		switch verdict {
		case storage.AlreadyUsed:
			cs.b.revokeUnkept(ctx, c, s, false)
			return errUsed
		case storage.SignedOut:
			cs.b.revokeUnkept(ctx, c, s, false)
			return errLeft
		case storage.DisconnectedSince:
			cs.b.revokeUnkept(ctx, c, s, stored.ID == "")
			return errEnded
		case storage.OK:
			cs.deps.Shared.Forget(c.ConnectionKey)
			if c.Revokes != nil {
				cs.b.revokeNow(ctx, c.Revokes)
			}
			return nil
		}
		current = stored // somebody refreshed or connected at the same time
	}
}

// whyUnsaved returns what became of the connection that the person saw.
func (cs *connections) whyUnsaved(ctx context.Context, c, current storage.Connection) error {
	if c.UsesUp != nil {
		if err := cs.checkUnused(ctx, c.UsesUp.Hash); err != nil {
			return err
		}
	}
	if current.ID == "" {
		return errEnded
	}
	return problemf(Replaced, "another connection was made in the meantime")
}
