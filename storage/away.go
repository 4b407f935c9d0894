package storage

import (
	"context"
	"errors"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/ahead"
)

// RemoteStore is a store that runs somewhere else, and so can be away while this
// process goes on. Each of its verbs fails then with an UnreachableError, at once.
type RemoteStore interface {
	// OnReach calls told when the store cannot be reached any more, with why, and
	// when it can again, with nil and how long it could not; and at once if it cannot
	// be reached now. told must not call the store. There is one at a time.
	OnReach(told func(cause error, lasted time.Duration))
}

// AheadReader is a store to which each question is a round trip.
type AheadReader interface {
	// ReadAhead reads at once what a request is going to ask for one by one: the verbs
	// of the request that read those answer with what was read, until one of its verbs
	// changes something, for WatchInterval at most. It needs the context of WithReads.
	// Failures are told by those verbs.
	ReadAhead(ctx context.Context, w Wanted)
}

// Wanted is what a request is going to ask for. What is empty is not.
type Wanted struct {
	Issuer string
	// Client is the ID of a registration.
	Client string
	// Flow is the ID of one, which is asked for with the connections that were made in
	// it, and those that its person has.
	Flow string
	// Session is a browser session, which is asked for with the connections that its
	// person has.
	Session Hash
	// LastGrantOf is the ID of a client, of which the LastGrant of the person of Flow or
	// Session is asked for, too.
	LastGrantOf string
	// Code and RefreshToken are asked for with their grants.
	Code, RefreshToken, AccessToken Hash
	// Connection is asked for with what we are at all providers, and with its last
	// Disconnect if that is wanted too. Without an Owner it is that of the person of
	// Session.
	Connection     ConnectionKey
	LastDisconnect bool
	// Once is a value that may have been used.
	Once Hash
}

// WithReads returns the context of a request that may read ahead.
func WithReads(ctx context.Context) context.Context { return ahead.With(ctx) }

// ReadAhead has a store read ahead that is an AheadReader, if the request may.
func ReadAhead(ctx context.Context, store any, w Wanted) {
	if s, remote := store.(AheadReader); remote && ahead.Of(ctx) != nil {
		s.ReadAhead(ctx, w)
	}
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
