package kv

import (
	"context"
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
			return current, storage.Mismatch, nil
		}
		if err := removePendingStates(tx, pendingStatesPrefix(c.ConnectionKey)); err != nil {
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
