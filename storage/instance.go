package storage

import (
	"context"
	"time"
)

// InstanceStore is a store that tells who else is at work on it.
type InstanceStore interface {
	// AnnounceInstance says that an instance is at work, and what it says of itself,
	// and returns all that were seen within the time, itself included, by their IDs.
	// Those that were not seen for so long are forgotten. When one was seen is
	// decided by the store's clock, whatever theirs shows.
	AnnounceInstance(ctx context.Context, i Instance, within time.Duration) ([]Instance, error)
	// LeaveInstance says that an instance is not at work any more.
	LeaveInstance(ctx context.Context, id string) error
}

// Instance is a process that works on a store.
type Instance struct {
	ID string
	// StartedAt is when it was first announced, SeenAt when last. The store says so.
	StartedAt, SeenAt time.Time
	// ClockAhead is how far its clock is ahead of the store's. The store says so.
	ClockAhead time.Duration
	// About is what it says of itself, which the store does not look at. It has
	// nothing secret in it.
	About []byte
}

// RateStore is a store that counts events for all processes that work on it.
type RateStore interface {
	// TakeRates counts one event towards all of the rates, of which no two have the
	// same key, or towards none if one of them is used up, and reports whether it
	// did. The store's clock decides.
	//
	// Each lets PerMinute events through at once, and as many per minute on average:
	// of any number of callers, never more.
	TakeRates(ctx context.Context, rates []Rate) (bool, error)
}

// Rate is how many events with one key there may be.
type Rate struct {
	Key Hash
	// PerMinute is at least 1.
	PerMinute int
}
