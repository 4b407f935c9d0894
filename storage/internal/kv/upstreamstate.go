package kv

import (
	"bytes"
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// SaveUpstreamState implements storage.Store.
func (s *Store) SaveUpstreamState(ctx context.Context, state storage.UpstreamState) error {
	return s.engine.Update(ctx, func(tx Tx) error {
		keepUntil := until(state.ExpiresAt)
		if err := tx.Put(pendingStateKey(state), newValue(keepUntil, 0)); err != nil {
			return err
		}
		return putJSON(tx, hashKey(kindUpstreamState, state.Hash), keepUntil, state)
	})
}

// ClaimUpstreamState implements storage.Store.
func (s *Store) ClaimUpstreamState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.UpstreamState, storage.Verdict, error) {
	verdict := storage.Unknown
	claimed, err := update(ctx, s, func(tx Tx) (none storage.UpstreamState, err error) {
		verdict = storage.Unknown // the last run counts
		trip, found, err := getUpstreamState(tx, state)
		if err != nil || !found || ended(trip.ExpiresAt, now) {
			return none, err
		}
		if trip.Browser != browser {
			verdict = storage.Mismatch
			return none, nil
		}
		verdict = storage.OK
		return trip, removeUpstreamState(tx, trip)
	})
	if err != nil {
		return storage.UpstreamState{}, storage.Unknown, err
	}
	return claimed, verdict, nil
}

func getUpstreamState(r Reader, h storage.Hash) (s storage.UpstreamState, found bool, err error) {
	found, err = getJSON(r, hashKey(kindUpstreamState, h), &s)
	s.Hash = h
	return s, found, err
}

func removeUpstreamState(tx Tx, s storage.UpstreamState) error {
	if err := tx.Delete(pendingStateKey(s)); err != nil {
		return err
	}
	return tx.Delete(hashKey(kindUpstreamState, s.Hash))
}

// removePendingStates removes the trips whose index entry starts with prefix:
// those of a connection, or of an owner.
func removePendingStates(tx Tx, prefix []byte) error {
	var entries [][]byte
	for key := range scanPrefix(tx, prefix) {
		entries = append(entries, bytes.Clone(key))
	}
	for _, key := range entries {
		state := storage.Hash(key[len(key)-len(storage.Hash{}):])
		if err := tx.Delete(hashKey(kindUpstreamState, state)); err != nil {
			return err
		}
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
