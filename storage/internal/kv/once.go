package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// UseOnce implements storage.Store.
func (s *Store) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return update(ctx, s, func(tx Tx) (bool, error) {
		if was, err := used(tx, h, now); was || err != nil {
			return false, err
		}
		return true, useUp(tx, storage.OneTime{Hash: h, ExpiresAt: expiresAt})
	})
}

func useUp(tx Tx, v storage.OneTime) error {
	return tx.Put(hashKey(kindOnce, v.Hash), appendTime(newValue(until(v.ExpiresAt), timeSize), v.ExpiresAt))
}

// Used implements storage.Store.
func (s *Store) Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error) {
	return view(ctx, s, func(r Reader) (bool, error) { return used(r, h, now) })
}

func used(r Reader, h storage.Hash, now time.Time) (bool, error) {
	v := r.Get(hashKey(kindOnce, h))
	if v == nil {
		return false, nil
	}
	_, body, err := openValue(v)
	if err != nil || len(body) != timeSize {
		return false, errCorrupt
	}
	d := decoder{rest: string(body)}
	return !ended(d.time(), now), nil
}
