package kv

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Disconnect implements storage.Store.
func (s *Store) Disconnect(ctx context.Context, k storage.ConnectionKey, queue *storage.ProviderRevocation, now time.Time) (bool, error) {
	return update(ctx, s, func(tx Tx) (bool, error) {
		_, found, err := liveConnection(tx, k, now)
		if err != nil {
			return false, err
		}
		if err := removePendingStates(tx, pendingStatesPrefix(k)); err != nil {
			return false, err
		}
		if err := removeConnection(tx, connectionKey(k), now); err != nil || queue == nil {
			return found, err
		}
		return found, putRevocation(tx, *queue)
	})
}
