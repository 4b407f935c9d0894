package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// UseOnce implements storage.Store.
func (s *Store) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return update(ctx, s, func(tx Tx) (bool, error) {
		key := hashKey(kindOnce, h)
		if v := tx.Get(key); v != nil {
			_, body, err := openValue(v)
			if err != nil || len(body) != timeSize {
				return false, errCorrupt
			}
			d := decoder{rest: string(body)}
			if !ended(d.time(), now) {
				return false, nil
			}
		}
		return true, tx.Put(key, appendTime(newValue(until(expiresAt), timeSize), expiresAt))
	})
}
