package kv

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errLease = errors.New("storage: a lease needs a holder and an end that is still to come")

// LeaseConnection implements storage.Store.
func (s *Store) LeaseConnection(ctx context.Context, k storage.ConnectionKey, revision uint64, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
	if holder == "" || ended(until, now) {
		return storage.Connection{}, storage.Unknown, errLease
	}
	return decideConnection(ctx, s, func(tx Tx) (storage.Connection, storage.Verdict, error) {
		c, found, err := liveConnection(tx, k, now)
		switch {
		case err != nil || !found:
			return c, storage.Unknown, err
		case c.State != storage.Active && c.State != storage.InDoubt:
			return c, storage.Changed, nil
		case c.Lease != "" && !ended(c.LeaseUntil, now):
			return c, storage.LeaseHeld, nil
		case c.Lease != "":
			c.State, c.UpdatedAt = storage.InDoubt, now
			c.Lease, c.LeaseUntil = "", time.Time{}
			c.Revision++
			return c, storage.LeaseExpired, putConnection(tx, c, now)
		case c.Revision != revision:
			return c, storage.Changed, nil
		}
		c.Lease, c.LeaseUntil = holder, until
		if c.State == storage.InDoubt {
			c.Retries++
		}
		c.Revision++
		return c, storage.OK, putConnection(tx, c, now)
	})
}
