package storage

import "context"

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
