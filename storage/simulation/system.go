package simulation

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// System is a store that is empty, and how instances have it open.
type System struct {
	// Open opens the store for an instance, again after a crash.
	Open func(i Instance) (storage.Store, error)
	// Shared: each instance opens the store by itself, as a process does. Else one
	// process has it open, and the instances are configurations in it.
	Shared bool
	// Durable: what was acknowledged outlives the processes. Else none ever crashes.
	Durable bool
	// Skew is how far the clocks of instances may be apart. Only a store that keeps
	// a clock of its own can take any.
	Skew time.Duration
	// Time, unless nil, sets the store's own clock.
	Time func(now time.Time) error
	// Crash ends the process that has a store open, without a word. nil closes it,
	// after the verbs that are at work have ended.
	Crash func(s storage.Store) error
	// Network, unless nil, is what the store's connections go through. Its requests
	// are then held back until their turn comes, so that the verbs of several
	// instances are at work at once. Such a store is Shared and Durable.
	Network *Network
	// Close removes the store, after all instances closed it.
	Close func() error
}

// Instance is one that opens the store.
type Instance struct {
	Number int
	// Now is its clock, which is not always that of the others.
	Now func() time.Time
	// Link is its way to the server, nil if the System has no Network.
	Link *Link
}
