package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Usage implements storage.Store, but for Bytes.
func (s *Store) Usage(ctx context.Context, now time.Time) (storage.Usage, error) {
	return view(ctx, s.engine, func(r Reader) (u storage.Usage, err error) {
		if u.PendingFlows, err = countPending(r, now); err != nil {
			return storage.Usage{}, err
		}
		for range scanPrefix(r, []byte{kindDueRevocation}) {
			if u.Revocations++; u.Revocations == storage.MaxCounted {
				break
			}
		}
		return u, nil
	})
}

func countPending(r Reader, now time.Time) (pending int, err error) {
	looked := 0
	for key := range scanPrefix(r, []byte{kindFlow}) {
		var f storage.Flow
		if _, err := getJSON(r, key, &f); err != nil {
			return 0, err
		}
		if !f.Submitted && !ended(f.ExpiresAt, now) {
			pending++
		}
		if looked++; looked == storage.MaxCounted {
			break
		}
	}
	return pending, nil
}
