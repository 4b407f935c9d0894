package storage

import (
	"context"
	"errors"
	"time"
)

// Errors of a store. Any other error means that the store could not do its
// work; the caller must fail closed.
var (
	// ErrNotFound: no such record, or it has expired.
	ErrNotFound = errors.New("storage: not found")
	// ErrClosed: the store was closed, as happens when a process stops.
	ErrClosed = errors.New("storage: closed")
	// ErrInUse: another process has the store open, which only one can.
	ErrInUse = errors.New("storage: in use by another process")
)

// Store keeps all records. It is for who opens and closes it; who works with
// records takes the contracts that it needs.
//
// All methods are safe for concurrent use. One that changes something returns
// only after the change is durable.
//
// Time never comes from the store: each verb takes now, so that callers, and
// tests, own the clock. A record whose ExpiresAt is not after now is treated
// as absent even while Sweep has not removed it yet.
type Store interface {
	AuthStore
	ConnectionStore
	SessionStore
	VirtualKeyStore
	PersonStore

	// Sweep removes records that ended before now, a bounded number per
	// transaction so that it never holds up other callers, and returns how
	// many it removed. With a connection, its OnExpiry is queued.
	Sweep(ctx context.Context, now time.Time) (int, error)
	// Empty reports whether nothing is stored at all.
	Empty(ctx context.Context) (bool, error)
	// Check fails if what is stored from now on may be lost.
	Check(ctx context.Context) error

	// Close releases the store. Later calls return ErrClosed.
	Close() error
}

// Opener opens the store that a configuration describes.
type Opener interface {
	// Key tells the store from others of its kind, as the absolute path of its
	// file does. All configurations in a process with the same key share one
	// store: during a reload, two of them are at work. It is shown in messages,
	// so it must hold no secret.
	Key() string
	// Durable reports whether what is stored outlives the process.
	Durable() bool
	// Open opens the store when a configuration starts, not when it is checked.
	// The store outlives ctx, which ends with that configuration.
	// A store that cannot be opened is tried again while its sites answer 503.
	// An error that is ErrInUse ends a process that serves nothing else.
	Open(ctx context.Context) (Store, error)
}
