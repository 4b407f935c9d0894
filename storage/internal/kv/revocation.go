package kv

import (
	"bytes"
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// DueRevocations implements storage.Store.
func (s *Store) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
	return update(ctx, s, func(tx Tx) ([]storage.ProviderRevocation, error) {
		due, err := dueRevocations(tx, issuer, limit, now)
		if err != nil {
			return nil, err
		}
		for i := range due {
			if err := tx.Delete(dueRevocationKey(due[i])); err != nil {
				return nil, err
			}
			due[i].Attempts++
			due[i].DueAt = retryAt
			if err := putRevocation(tx, due[i]); err != nil {
				return nil, err
			}
		}
		return due, nil
	})
}

// QueueRevocation implements storage.Store.
func (s *Store) QueueRevocation(ctx context.Context, r storage.ProviderRevocation) error {
	return s.engine.Update(ctx, func(tx Tx) error { return putRevocation(tx, r) })
}

// EndRevocation implements storage.Store.
func (s *Store) EndRevocation(ctx context.Context, id string) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		r, found, err := getRevocation(tx, id)
		if err != nil || !found {
			return err
		}
		if err := tx.Delete(dueRevocationKey(r)); err != nil {
			return err
		}
		return tx.Delete(idKey(kindRevocation, id))
	})
}

// dueRevocations returns the first that are due.
func dueRevocations(r Reader, issuer string, limit int, now time.Time) ([]storage.ProviderRevocation, error) {
	var due []storage.ProviderRevocation
	prefix := dueRevocationsPrefix(issuer)
	end := appendSeconds(bytes.Clone(prefix), now.Add(time.Second))
	for key := range scanPrefix(r, prefix) {
		if len(due) >= limit || bytes.Compare(key, end) >= 0 {
			break
		}
		entry, found, err := getRevocation(r, revocationID(key, prefix))
		if err != nil {
			return nil, err
		}
		// An entry without its record is one that the sweep is at.
		if found && !entry.DueAt.After(now) && !ended(entry.ExpiresAt, now) {
			due = append(due, entry)
		}
	}
	return due, nil
}

func getRevocation(r Reader, id string) (rev storage.ProviderRevocation, found bool, err error) {
	found, err = getJSON(r, idKey(kindRevocation, id), &rev)
	return rev, found, err
}

func putRevocation(tx Tx, r storage.ProviderRevocation) error {
	keepUntil := until(r.ExpiresAt)
	if err := tx.Put(dueRevocationKey(r), newValue(keepUntil, 0)); err != nil {
		return err
	}
	return putJSON(tx, idKey(kindRevocation, r.ID), keepUntil, r)
}
