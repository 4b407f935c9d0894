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

// Client implements storage.AuthStore.
func (s *authStore) Client(ctx context.Context, id string, now time.Time) (storage.Client, error) {
	b, err := view(ctx, s.db, body, `select body from {}clients where id = $1`, []byte(id))
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
		[]byte(c.ID), p.sender, p.group, t.queuedAt(p), t.keep(c.ExpiresAt), b)
	return err
}

// updateClient also moves the client to the queue where it waits now.
func updateClient(t *tx, c storage.Client) error {
	b, err := encode(t.db, c, clientTimes)
	p := clientPlace(c)
	t.exec(`update {}clients set queue_sender = $2, queue_group = $3, queued_at = $4, keep_until = $5, body = $6 where id = $1`,
		[]byte(c.ID), p.sender, p.group, t.queuedAt(p), t.keep(c.ExpiresAt), b)
	return err
}

// clientPlace returns where a client waits, if it does.
func clientPlace(c storage.Client) (p place) {
	if !c.Used {
		p.sender, p.group, p.at = record.ClientQueue(c)
	}
	return p
}

// clientQueue is the queue that a client waits in, without bounds.
func clientQueue(t *tx, c storage.Client) *queue {
	return &queue{
		table: "clients", id: []byte(c.ID), place: clientPlace(c),
		drop: func(q queued) { // unless somebody has just approved it
			t.exec(`delete from {}clients where id = $1 and queue_sender = $2`, q.id, q.sender)
		},
	}
}
