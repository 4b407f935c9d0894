package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

var errClientExists = errors.New("storage: a client with this ID exists")

// CreateClient implements storage.AuthStore.
func (s *authStore) CreateClient(ctx context.Context, c storage.Client, unused storage.Unused) error {
	return change(ctx, s.db, func(t *tx) error {
		q := clientQueue(t, c)
		if unused.Spare != nil {
			q.spare = func(other queued) bool { return unused.Spare(string(other.id)) }
		}
		if c.Sender == nil {
			q.ofSender = unused.Max
		} else {
			q.ofGroup = unused.Max
		}
		if q.sender != nil && unused.Max > 0 {
			lockQueue(t, q)
			look(t, q)
		}
		var there []byte
		t.query(one(&there), `select id from {}clients where id = $1`, []byte(c.ID))
		if err := t.send(); err != nil {
			return err
		}
		if there != nil {
			return errClientExists
		}
		if err := insertClient(t, c); err != nil || q.sender == nil {
			return err
		}
		return enter(t, q)
	})
}

const clientByID = `select body from {}clients where id = $1`

// Client implements storage.AuthStore.
func (s *authStore) Client(ctx context.Context, id string, now time.Time) (storage.Client, error) {
	b, err := view(ctx, s.db, body, clientByID, []byte(id))
	if err != nil {
		return storage.Client{}, err
	}
	return itsClient(s.db, b, id, now)
}

// Clients implements storage.AuthStore.
func (s *authStore) Clients(ctx context.Context, after string, limit int, now time.Time) (clients []storage.Client, next string, err error) {
	limit = min(max(limit, 0), maxPage)
	rows, err := view(ctx, s.db, rowsOf, `select id, body from {}clients where id > $1 order by id limit $2`, []byte(after), limit+1)
	if err != nil {
		return nil, "", err
	}
	for i, r := range rows {
		if i == limit {
			return clients, after, nil
		}
		after = string(r.id)
		if c, err := s.liveClient(r.body, now); err == nil {
			clients = append(clients, c)
		} // a damaged one must not hide those behind it
	}
	return clients, "", nil
}

// UpdateClient implements storage.AuthStore.
func (s *authStore) UpdateClient(ctx context.Context, c storage.Client, oldToken storage.Hash, revokeGrants bool, now time.Time) (storage.Revocation, error) {
	return update(ctx, s.db, func(t *tx) (rev storage.Revocation, err error) {
		old, err := lockClient(t, c.ID, now)
		if err != nil {
			return rev, err
		}
		if old.Issuer != c.Issuer || old.RegistrationTokenHash != oldToken {
			return rev, storage.ErrNotFound
		}
		old.Metadata = c.Metadata
		old.SecretHash = c.SecretHash
		old.RegistrationTokenHash = c.RegistrationTokenHash
		if err := updateClient(t, old); err != nil || !revokeGrants {
			return rev, err
		}
		return revokeClientGrants(t, old.Issuer, old.ID, now)
	})
}

// DeleteClient implements storage.AuthStore.
func (s *authStore) DeleteClient(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return update(ctx, s.db, func(t *tx) (rev storage.Revocation, err error) {
		c, err := lockClient(t, id, now)
		if err != nil {
			return rev, err
		}
		t.exec(`delete from {}clients where id = $1`, []byte(c.ID))
		return revokeClientGrants(t, c.Issuer, c.ID, now)
	})
}

// lockClient locks and returns a registration.
func lockClient(t *tx, id string, now time.Time) (storage.Client, error) {
	var b []byte
	t.query(one(&b), `select body from {}clients where id = $1 for update`, []byte(id))
	if err := t.send(); err != nil {
		return storage.Client{}, err
	}
	return itsClient(t.db, b, id, now)
}

// itsClient is liveClient of the row with the id.
func itsClient(d *db, body []byte, id string, now time.Time) (storage.Client, error) {
	c, err := d.liveClient(body, now)
	if err == nil && c.ID != id {
		return storage.Client{}, record.ErrCorrupt // somebody moved the record
	}
	return c, err
}

func insertClient(t *tx, c storage.Client) error {
	b, err := encode(t.db, c, clientTimes)
	p := clientPlace(c)
	t.exec(`insert into {}clients (id, queue_sender, queue_group, queued_at, keep_until, body) values ($1, $2, $3, $4, $5, $6)`,
		[]byte(c.ID), p.sender, p.group, queuedAt(t.db, p), t.keep(c.ExpiresAt), b)
	return err
}

// updateClient also moves the client to the queue where it waits now.
func updateClient(t *tx, c storage.Client) error {
	b, err := encode(t.db, c, clientTimes)
	p := clientPlace(c)
	t.exec(`update {}clients set queue_sender = $2, queue_group = $3, queued_at = $4, keep_until = $5, body = $6 where id = $1`,
		[]byte(c.ID), p.sender, p.group, queuedAt(t.db, p), t.keep(c.ExpiresAt), b)
	return err
}

// clientPlace returns where a client waits, if it does.
func clientPlace(c storage.Client) (p place) {
	if !c.Used {
		p.sender, p.group, p.at = record.ClientQueue(c)
	}
	return p
}

// SaveFlow implements storage.AuthStore. Mostly the flow is not there yet, and
// depends on nothing: it is made at once.
func (s *authStore) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	if f.KnownBy() == nil {
		body, err := encode(s.db, f, flowTimes)
		if err != nil {
			return storage.Unknown, err
		}
		made, err := s.once(ctx, insertFlow+` on conflict (id) do nothing returning ''::bytea as answer`, flowRow(s.db, f, body)...)
		switch {
		case err != nil:
			return storage.Unknown, err
		case made:
			return storage.OK, nil
		}
	}
	return s.changeFlow(ctx, f, now)
}

// changeFlow is SaveFlow where there is something to decide. A flow that is not there
// yet is held by an empty row, which is gone if the verb refuses.
func (s *authStore) changeFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return update(ctx, s.db, func(t *tx) (storage.Verdict, error) {
		var b []byte
		holdFlow(t, &b, f.ID)
		known := holds{Authentication: f.KnownBy()}
		lockHolds(t, &known)
		if err := t.send(); err != nil {
			return storage.Unknown, err
		}
		v, err := replaceFlow(t, b, known, f, now)
		if v != storage.OK || err != nil {
			return v, err
		}
		return storage.OK, putFlow(t, f)
	})
}

// holdFlow queues what reads and locks a flow that may not be there.
func holdFlow(t *tx, b *[]byte, id string) {
	t.query(one(b), `insert into {}flows (id, of_subject, browser, keep_until, body) values ($1, '', '', 0, '')
		on conflict (id) do update set id = excluded.id returning body`, []byte(id))
}

// replaceFlow decides whether a flow may be saved over the row that is held.
func replaceFlow(t *tx, b []byte, known holds, f storage.Flow, now time.Time) (storage.Verdict, error) {
	if len(b) == 0 {
		b = nil
	}
	old, found, err := t.liveFlow(b, now)
	switch {
	case err != nil:
		return storage.Unknown, err
	case found && old.Submitted:
		return storage.Submitted, nil
	}
	if there, err := t.hold(known, f.Issuer, now); !there || err != nil {
		return storage.SignedOut, err
	}
	if found && !old.Identity.Same(f.Identity) {
		// The row stays: whoever waits for its lock would not see another one.
		return storage.OK, forgetConnected(t, []storage.Flow{old}, now)
	}
	return storage.OK, nil
}

const flowByID = `select f.body, p.body from {}flows f left join {}persons p on p.id = f.person where f.id = $1`

// Flow implements storage.AuthStore.
func (s *authStore) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	o, err := view(ctx, s.db, oneOwned, flowByID, []byte(id))
	if err != nil {
		return storage.Flow{}, err
	}
	f, found, err := s.filledFlow(o, now)
	if err == nil && found && f.ID != id {
		err = record.ErrCorrupt // somebody moved the record
	}
	return live(f, found, err)
}

// EndFlows implements storage.AuthStore.
func (s *authStore) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
	return change(ctx, s.db, func(t *tx) error {
		var found [][]byte
		t.query(many(&found), `select body from {}flows where of_subject = $1 order by id for update`, record.Digest(issuer, subject))
		if err := t.send(); err != nil {
			return err
		}
		ending, err := t.pending(found, issuer, now, func(f storage.Flow) bool { return f.Identity.Subject == subject })
		if err != nil {
			return err
		}
		return endFlows(t, ending, now)
	})
}

const insertFlow = `insert into {}flows (id, of_subject, owner, person, browser, keep_until, body) values ($1, $2, $3, $4, $5, $6, $7)`

// putFlow stores a flow over the row that is locked.
func putFlow(t *tx, f storage.Flow) error {
	b, err := encode(t.db, f, flowTimes)
	t.exec(insertFlow+` on conflict (id) do update set of_subject = excluded.of_subject, owner = excluded.owner, person = excluded.person,
		browser = excluded.browser, keep_until = excluded.keep_until, body = excluded.body`, flowRow(t.db, f, b)...)
	return err
}

// endFlows forgets who the people of flows are, and removes what they connected
// and were about to. The flows are locked.
func endFlows(t *tx, flows []storage.Flow, now time.Time) error {
	for _, f := range flows {
		t.exec(`delete from {}flows where id = $1`, []byte(f.ID))
	}
	return forgetConnected(t, flows, now)
}

// forgetConnected removes what people connected in flows and were about to.
func forgetConnected(t *tx, flows []storage.Flow, now time.Time) error {
	if len(flows) == 0 {
		return nil
	}
	made := make([][][]byte, len(flows))
	for i, f := range flows {
		issuer, owner := record.Digest(f.Issuer), record.Digest(storage.FlowOwner(f.ID))
		t.exec(`delete from {}connect_states where issuer = $1 and owner = $2`, issuer, owner)
		t.query(many(&made[i]), `select body from {}connections where issuer = $1 and owner = $2 order by server for update`, issuer, owner)
	}
	if err := t.send(); err != nil {
		return err
	}
	for _, bodies := range made {
		for _, b := range bodies {
			c, _, err := decode(t.db, b, connectionTimes)
			if err != nil {
				return err
			}
			if c.OnExpiry != nil && !connectionEnded(c, now) {
				if err := putRevocation(t, *c.OnExpiry); err != nil {
					return err
				}
			}
			if err := removeConnection(t, c, now); err != nil {
				return err
			}
		}
	}
	return nil
}
