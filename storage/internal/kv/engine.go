package kv

import (
	"context"
	"iter"
)

// Engine runs transactions over ordered keys. A key is never empty; those with
// the same first byte are of one kind, and an engine may keep them together.
type Engine interface {
	// View runs fn on a consistent state.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn, one at a time, and returns nil once its changes are
	// durable. When fn fails, or Update does, none of them happened or will.
	// fn may run more than once: only its last run counts.
	Update(ctx context.Context, fn func(Tx) error) error
	// Close releases the engine; later calls return storage.ErrClosed.
	Close() error
}

// Reader reads within a transaction. The slices it returns are valid until
// the transaction ends, and not to be changed.
type Reader interface {
	// Get returns the value, or nil.
	Get(key []byte) []byte
	// Scan yields the pairs from the first key not below from, in order.
	// Nothing may be written while it runs.
	Scan(from []byte) iter.Seq2[[]byte, []byte]
}

// Tx changes within a transaction. Key and value belong to the engine from
// then on.
type Tx interface {
	Reader
	Put(key, value []byte) error
	Delete(key []byte) error
}
