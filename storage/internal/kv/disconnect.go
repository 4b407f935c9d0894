package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Disconnect implements storage.ConnectionStore.
func (s *connectionStore) Disconnect(ctx context.Context, c storage.Connection, queue *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
	return decideConnection(ctx, s.engine, func(tx Tx) (storage.Connection, storage.Verdict, error) {
		none := storage.Connection{}
		current, found, err := liveConnection(tx, c.ConnectionKey, now)
		if err != nil {
			return none, storage.Unknown, err
		}
		if found && (c.Revision != current.Revision || c.ID != current.ID) {
			return current, storage.Changed, nil
		}
		if err := removePendingStates(tx, pendingStatesPrefix(c.ConnectionKey)); err != nil {
			return none, storage.Unknown, err
		}
		if err := rememberDisconnect(tx, c.ConnectionKey, now); err != nil {
			return none, storage.Unknown, err
		}
		if err := removeConnection(tx, connectionKey(c.ConnectionKey), now); err != nil {
			return none, storage.Unknown, err
		}
		if queue != nil {
			err = putRevocation(tx, *queue)
		}
		if !found {
			return none, storage.Unknown, err
		}
		return none, storage.OK, err
	})
}

// LastDisconnect implements storage.ConnectionStore.
func (s *connectionStore) LastDisconnect(ctx context.Context, k storage.ConnectionKey) (uint64, error) {
	return view(ctx, s.engine, func(r Reader) (uint64, error) { return lastDisconnect(r, k) })
}

// disconnectedSince reports whether what is about to be stored was disconnected
// after somebody began to connect it.
func disconnectedSince(r Reader, c storage.ConnectionReplacement) (bool, error) {
	if c.LastDisconnect == nil {
		return false, nil
	}
	last, err := lastDisconnect(r, c.ConnectionKey)
	return last > *c.LastDisconnect, err
}

// rememberDisconnect stores a number that is larger than any before, also than
// those that were forgotten.
func rememberDisconnect(tx Tx, k storage.ConnectionKey, now time.Time) error {
	last, err := lastDisconnect(tx, k)
	if err != nil {
		return err
	}
	value := record.New(record.Until(now.Add(storage.DisconnectMemory)), 8)
	return tx.Put(disconnectKey(k), binary.BigEndian.AppendUint64(value, max(last+1, uint64(now.UnixNano()))))
}

// lastDisconnect returns what was remembered, as long as it was not swept: only
// larger numbers mean anything.
func lastDisconnect(r Reader, k storage.ConnectionKey) (uint64, error) {
	v := r.Get(disconnectKey(k))
	if v == nil {
		return 0, nil
	}
	_, body, err := record.Open(v)
	if err != nil || len(body) != 8 {
		return 0, record.ErrCorrupt
	}
	return binary.BigEndian.Uint64(body), nil
}

// DueRevocations implements storage.ConnectionStore.
func (s *connectionStore) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
	return update(ctx, s.engine, func(tx Tx) ([]storage.ProviderRevocation, error) {
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

// QueueRevocation implements storage.ConnectionStore.
func (s *connectionStore) QueueRevocation(ctx context.Context, r storage.ProviderRevocation) error {
	return s.engine.Update(ctx, func(tx Tx) error { return putRevocation(tx, r) })
}

// EndRevocation implements storage.ConnectionStore.
func (s *connectionStore) EndRevocation(ctx context.Context, id string) error {
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
	keepUntil := record.Until(r.ExpiresAt)
	if err := tx.Put(dueRevocationKey(r), record.New(keepUntil, 0)); err != nil {
		return err
	}
	return putJSON(tx, idKey(kindRevocation, r.ID), keepUntil, r)
}
