package kv

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
	return s.engine.Update(ctx, func(tx Tx) error {
		if tx.Get(idKey(kindClient, c.ID)) != nil {
			return errClientExists
		}
		if err := putClient(tx, c); err != nil || c.Used {
			return err
		}
		b := bounds{spare: unused.Spare, drop: dropClient(tx)}
		if c.Sender == nil {
			b.sender = unused.Max
		} else {
			b.group = unused.Max
		}
		return enter(tx, clientPlace(c), record.Forever, nil, b)
	})
}

// Client implements storage.AuthStore.
func (s *authStore) Client(ctx context.Context, id string, now time.Time) (storage.Client, error) {
	return view(ctx, s.engine, func(r Reader) (storage.Client, error) { return liveClient(r, id, now) })
}

// Clients implements storage.AuthStore.
func (s *authStore) Clients(ctx context.Context, after string, limit int, now time.Time) ([]storage.Client, string, error) {
	p, err := view(ctx, s.engine, func(r Reader) (page[storage.Client], error) {
		return readPage(r, []byte{kindClient}, after, limit, func(_, value []byte) (storage.Client, bool) {
			var c storage.Client
			err := openJSON(value, &c)
			return c, err == nil && !ended(c.ExpiresAt, now)
		}), nil
	})
	return p.records, p.next, err
}

// UpdateClient implements storage.AuthStore.
func (s *authStore) UpdateClient(ctx context.Context, c storage.Client, oldToken storage.Hash, revokeGrants bool, now time.Time) (storage.Revocation, error) {
	return update(ctx, s.engine, func(tx Tx) (rev storage.Revocation, err error) {
		old, err := liveClient(tx, c.ID, now)
		if err != nil {
			return rev, err
		}
		if old.Issuer != c.Issuer || old.RegistrationTokenHash != oldToken {
			return rev, storage.ErrNotFound
		}
		old.Metadata = c.Metadata
		old.SecretHash = c.SecretHash
		old.RegistrationTokenHash = c.RegistrationTokenHash
		if err := putClient(tx, old); err != nil || !revokeGrants {
			return rev, err
		}
		return revokeClientGrants(tx, old.Issuer, old.ID, now)
	})
}

// DeleteClient implements storage.AuthStore.
func (s *authStore) DeleteClient(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return update(ctx, s.engine, func(tx Tx) (rev storage.Revocation, err error) {
		c, err := liveClient(tx, id, now)
		if err != nil {
			return rev, err
		}
		if err := removeClient(tx, c); err != nil {
			return rev, err
		}
		return revokeClientGrants(tx, c.Issuer, c.ID, now)
	})
}

func liveClient(r Reader, id string, now time.Time) (storage.Client, error) {
	var c storage.Client
	found, err := getJSON(r, idKey(kindClient, id), &c)
	if err == nil && found && c.ID != id {
		err = record.ErrCorrupt // somebody moved the record
	}
	if err == nil && (!found || ended(c.ExpiresAt, now)) {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Client{}, err
	}
	return c, nil
}

func putClient(tx Tx, c storage.Client) error {
	return putJSON(tx, idKey(kindClient, c.ID), record.Until(c.ExpiresAt), c)
}

// removeClient removes the registration and what is counted of it.
func removeClient(tx Tx, c storage.Client) error {
	if err := tx.Delete(idKey(kindClient, c.ID)); err != nil {
		return err
	}
	return dequeueClient(tx, c)
}

// dequeueClient takes a client out of its queue, if it is in one.
func dequeueClient(tx Tx, c storage.Client) error {
	if c.Used {
		return nil
	}
	return leave(tx, clientPlace(c))
}

// clientPlace returns where a client waits.
func clientPlace(c storage.Client) place {
	p := place{id: c.ID}
	p.sender, p.group, p.at = record.ClientQueue(c)
	return p
}

// dropClient returns what removes a client that dropped out of its queue.
func dropClient(tx Tx) func(string, []byte) error {
	return func(id string, _ []byte) error {
		key := idKey(kindClient, id)
		if tx.Get(key) == nil {
			return record.ErrCorrupt
		}
		return tx.Delete(key)
	}
}

// keepClient notes that a person approved the client, and keeps its
// registration for as long as the grant can live, and longer if the submission
// says so. Clients that are not registered here (configured ones, metadata
// documents) have nothing to keep.
func keepClient(tx Tx, sub storage.Submission) error {
	c, err := liveClient(tx, sub.Grant.ClientID, sub.Now)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil || c.Issuer != sub.Grant.Issuer {
		return err
	}
	if err := dequeueClient(tx, c); err != nil {
		return err
	}
	c.ExpiresAt = latest(c.ExpiresAt, sub.Grant.AbsoluteExpiresAt.Add(sub.KeepClient))
	c.Used = c.Used || sub.Quota == nil
	if c.Used {
		c.Quota, c.QuotaBlock, c.ApprovedAt = nil, nil, time.Time{}
		return putClient(tx, c)
	}
	if c.Quota == nil {
		c.Quota, c.QuotaBlock = &sub.Quota.Key, &sub.Quota.Block
	}
	c.ApprovedAt = sub.Now
	if err := putClient(tx, c); err != nil {
		return err
	}
	return enter(tx, clientPlace(c), record.Forever, nil, bounds{
		sender: sub.Quota.Max, group: sub.Quota.MaxBlock, drop: dropClient(tx),
	})
}
