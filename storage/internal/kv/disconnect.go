package kv

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Disconnect implements storage.Store.
func (s *Store) Disconnect(ctx context.Context, c storage.Connection, queue *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
	return decideConnection(ctx, s, func(tx Tx) (storage.Connection, storage.Verdict, error) {
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

// LastDisconnect implements storage.Store.
func (s *Store) LastDisconnect(ctx context.Context, k storage.ConnectionKey) (uint64, error) {
	return view(ctx, s, func(r Reader) (uint64, error) { return lastDisconnect(r, k) })
}

// disconnectedSince reports whether what is about to be stored was disconnected
// after somebody began to connect it.
func disconnectedSince(r Reader, c storage.Connection) (bool, error) {
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
	value := newValue(until(now.Add(storage.DisconnectMemory)), 8)
	return tx.Put(disconnectKey(k), binary.BigEndian.AppendUint64(value, max(last+1, uint64(now.UnixNano()))))
}

// lastDisconnect returns what was remembered, as long as it was not swept: only
// larger numbers mean anything.
func lastDisconnect(r Reader, k storage.ConnectionKey) (uint64, error) {
	v := r.Get(disconnectKey(k))
	if v == nil {
		return 0, nil
	}
	_, body, err := openValue(v)
	if err != nil || len(body) != 8 {
		return 0, errCorrupt
	}
	return binary.BigEndian.Uint64(body), nil
}
