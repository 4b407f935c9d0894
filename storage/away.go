package storage

import (
	"errors"
	"time"
)

// RemoteStore is a store that runs somewhere else, and so can be away while this
// process goes on. Each of its verbs fails then with an UnreachableError, at once.
type RemoteStore interface {
	// OnReach calls told when the store cannot be reached any more, with why, and
	// when it can again, with nil and how long it could not; and at once if it cannot
	// be reached now. told must not call the store. There is one at a time.
	OnReach(told func(cause error, lasted time.Duration))
}

// UnreachableError is the error of a verb that a store could not be asked, or that
// was under way when it went away: it may have been done or not.
type UnreachableError struct {
	// StaleFor is how long what was read of the store goes on without it, counted
	// from when it was read.
	StaleFor time.Duration
	Cause    error
}

func (e *UnreachableError) Error() string {
	return "storage: the store cannot be reached: " + e.Cause.Error()
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// Known reports that the log hears of it once, see RemoteStore, and not for each
// request.
func (e *UnreachableError) Known() bool { return true }

// Unreachable reports whether an error says that the store cannot be reached.
func Unreachable(err error) bool {
	var away *UnreachableError
	return errors.As(err, &away)
}

// StaleFor returns how long what was read of the store may be used although it
// failed with err: zero, unless the store could not be reached.
func StaleFor(err error) time.Duration {
	var away *UnreachableError
	if errors.As(err, &away) {
		return away.StaleFor
	}
	return 0
}
