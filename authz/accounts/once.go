package accounts

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// onceLifetime is how long it is remembered that a connection was made. It is
// longer than any two trips with the same Once can be apart.
const onceLifetime = 24 * time.Hour

// Store is what a broker needs of a storage.Store.
type Store interface {
	storage.ConnectionStore
	// Used is as in storage.Store.
	Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error)
}

var errUsed = problemf(TripEnded, "what the trip began with has made a connection already")

// errLeft is also what Answer.Present answers for somebody who left.
var errLeft = problemf(Left, "whoever began is not there any more")

// checkUnused tells before the code is spent what storing the connection would
// tell after it: nobody gets tokens that would not be stored.
func (b *Broker) checkUnused(ctx context.Context, once storage.Hash) error {
	if once == (storage.Hash{}) {
		return nil
	}
	used, err := b.deps.Store.Used(ctx, once, b.deps.Now())
	if err == nil && used {
		return errUsed
	}
	return err
}

// usesUp returns what the connection of a trip uses up, or nil. That decides
// which of several trips with the same Once makes the connection.
func (t trip) usesUp(now time.Time) *storage.OneTime {
	if t.Once == (storage.Hash{}) {
		return nil
	}
	return &storage.OneTime{Hash: t.Once, ExpiresAt: now.Add(onceLifetime)}
}
