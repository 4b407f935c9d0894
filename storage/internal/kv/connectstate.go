package kv

import (
	"bytes"
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// SaveConnectState implements storage.ConnectionStore.
func (s *connectionStore) SaveConnectState(ctx context.Context, state storage.ConnectState) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		keepUntil := record.Until(state.ExpiresAt)
		if err := tx.Put(pendingStateKey(state), record.New(keepUntil, 0)); err != nil {
			return err
		}
		return putJSON(tx, hashKey(kindConnectState, state.Hash), keepUntil, state)
	})
}

// ClaimConnectState implements storage.ConnectionStore.
func (s *connectionStore) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	verdict := storage.Unknown
	claimed, err := update(ctx, s.engine, func(tx Tx) (none storage.ConnectState, err error) {
		verdict = storage.Unknown // the last run counts
		found, ok, err := getConnectState(tx, state)
		if err != nil || !ok || ended(found.ExpiresAt, now) {
			return none, err
		}
		if found.Browser != browser {
			verdict = storage.WrongBrowser
			return none, nil
		}
		verdict = storage.OK
		return found, removeConnectState(tx, found)
	})
	if err != nil {
		return storage.ConnectState{}, storage.Unknown, err
	}
	return claimed, verdict, nil
}

func getConnectState(r Reader, h storage.Hash) (s storage.ConnectState, found bool, err error) {
	found, err = getJSON(r, hashKey(kindConnectState, h), &s)
	s.Hash = h
	return s, found, err
}

func removeConnectState(tx Tx, s storage.ConnectState) error {
	if err := tx.Delete(pendingStateKey(s)); err != nil {
		return err
	}
	return tx.Delete(hashKey(kindConnectState, s.Hash))
}

// removePendingStates removes the connect states whose index entry starts with prefix:
// those of a connection, or of an owner.
func removePendingStates(tx Tx, prefix []byte) error {
	var entries [][]byte
	for key := range scanPrefix(tx, prefix) {
		entries = append(entries, bytes.Clone(key))
	}
	for _, key := range entries {
		state := storage.Hash(key[len(key)-len(storage.Hash{}):])
		if err := tx.Delete(hashKey(kindConnectState, state)); err != nil {
			return err
		}
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
