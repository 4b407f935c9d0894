package move

import (
	"context"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
)

// Place is where a store is, or shall be.
type Place interface {
	// Name tells it from others, as in "the file /path". It holds no secret.
	Name() string
	// Exists reports whether there is a store.
	Exists(ctx context.Context) (bool, error)
	// Open opens it for a move, whatever mark is on it. Unless it is only looked at,
	// it is made if it is not there, and brought to this program's layout; one that is
	// only looked at is not changed, and has to have that layout already.
	Open(ctx context.Context, look bool) (Side, error)
}

// Side is a store that is moved from, or to. Nothing is called at the same time.
type Side interface {
	// Mark returns the mark that is on the store, none if there is none.
	Mark(ctx context.Context) (Mark, error)
	// SetMark puts a mark on it, or takes it away. With a mark, a program that knows
	// no marks refuses the store as well.
	SetMark(ctx context.Context, m Mark) error
	// Busy returns an error, in words, while somebody works with the store.
	Busy(ctx context.Context) error
	// Empty reports whether there is no record.
	Empty(ctx context.Context) (bool, error)
	// Clear removes all records. The mark stays.
	Clear(ctx context.Context) error
	// Page returns records of a kind behind a place, the first ones if it is nil, and
	// the place behind them, nil at the end. It looks at up to limit records.
	Page(ctx context.Context, kind record.Kind, after []byte, limit int) (page []record.Moved, next []byte, err error)
	// Write adds records and replaces the mark, which was before, in one transaction.
	Write(ctx context.Context, records []record.Moved, before, next Mark) error
	// Close lets go of it.
	Close() error
}
