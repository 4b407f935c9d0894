package storage

import (
	"context"
	"errors"
	"time"
)

// A store that several processes share implements the contracts of this file, as
// far as it can. One for a single process implements none. Who opens a store asks
// once which of them it keeps, by a type assertion.

// Watcher is a store that tells each process what the others changed, so that what
// they remember of it is dropped at once.
//
// A change is written in the transaction of the verb that makes it, so it is told
// if and only if that was committed. It is told by what ends or narrows something
// that others may remember: each verb that revokes (but not the access tokens that
// gave way to newer ones of their grant), RevokeAccessToken, ChangeGrant, Disconnect,
// ReplaceConnection, SubmitFlow for what it gives to its owner and for the grants that
// give way in a quota, IssueGrant for those that give way, PutConnection and
// LeaseConnection unless the connection was active and still is, SavePerson and
// UpdatePerson unless the claims are the same and the person is, EndPerson,
// PutVirtualKey, DeleteVirtualKey and ReplaceSiteValue. Nobody is told of
// what only a pending flow has, nor of clients and what PutSiteValue stores: no
// process may remember those.
type Watcher interface {
	// Watch begins to watch. What other processes commit after it has returned is
	// handed out.
	Watch(ctx context.Context) (Watch, error)
	// Announce tells all other processes something that is in no record. name says
	// what it is about, text is at most MaxAnnouncement bytes. It must hold nothing
	// secret, and nothing may depend on its arrival.
	Announce(ctx context.Context, issuer, name, text string) error
}

// Watch hands out what other processes changed. It is for one goroutine, but for
// Close.
type Watch interface {
	// Next waits for changes and returns them: each at least once, after it can be
	// seen by everybody, and in no order. It returns none from time to time. While
	// nobody tells the store of changes, it looks for them every WatchInterval.
	//
	// It hands out what other processes changed, and nothing of this one: who
	// changes something here knows more of it than the store does, such as that a
	// provider has just confirmed an account, and has dropped the rest already.
	//
	// After an error nothing is lost, and Next is to be called again. It pauses
	// then by itself. Of what the store kept no longer meanwhile it returns
	// ChangesMissed.
	Next(ctx context.Context) ([]Change, error)
	// Polls returns why changes are looked for every WatchInterval instead of being
	// told at once, in words for an operator, or nil.
	Polls() error
	// Close ends the watch, and a Next that waits. Closing the store ends it too.
	Close()
}

// WatchInterval is how late a change arrives at most whose notification got lost.
// What is remembered of records must not be used for longer without looking: then
// a change that never arrives costs no more than that.
const WatchInterval = 5 * time.Second

// MaxAnnouncement bounds the text of an announcement.
const MaxAnnouncement = 1 << 10

// ErrAnnouncement: the text is too long.
var ErrAnnouncement = errors.New("storage: the announcement is too long")

// ChangeKind says what a change was about. Who does not know one, of a newer
// program, ignores the change.
type ChangeKind string

// The kinds of changes, and which fields of a Change they have.
const (
	// TokensEnded: the Revocation came to an end, or is good for something else now and
	// has to be read again. Without GrantIDs, the tokens were revoked one by one and
	// their grant is still good.
	TokensEnded ChangeKind = "tokens"
	// PersonChanged: what is said of Subject at Issuer is another thing now, or they
	// were ended.
	PersonChanged ChangeKind = "person"
	// ConnectionChanged: the connection of Subject to Server at Issuer was made, made
	// anew or ended, or works no more.
	ConnectionChanged ChangeKind = "connection"
	// VirtualKeysChanged: there are other virtual keys at Issuer.
	VirtualKeysChanged ChangeKind = "virtual_keys"
	// SiteValueChanged: the site value Name at Issuer was replaced.
	SiteValueChanged ChangeKind = "site_value"
	// Announced: a process announced Text about Name, at Issuer.
	Announced ChangeKind = "announced"
	// ChangesMissed: anything may have changed.
	ChangesMissed ChangeKind = "missed"
)

// Change is one thing that another process ended or changed. It names records, and
// has nothing of what is in them: whoever needs to know reads them again.
type Change struct {
	Kind    ChangeKind `json:"kind"`
	Issuer  string     `json:"issuer,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Server  string     `json:"server,omitempty"`
	Name    string     `json:"name,omitempty"`
	Text    string     `json:"text,omitempty"`
	Revocation
}

// ConnectionKey returns the key of the connection that changed.
func (c Change) ConnectionKey() ConnectionKey {
	return ConnectionKey{Issuer: c.Issuer, Owner: c.Subject, Server: c.Server}
}

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

// Clock is a store with a clock of its own, which decides for all processes when
// what is stored ends. Callers give and get times of their own clock all the same.
type Clock interface {
	// Ahead returns how far the store's clock is ahead of that of this process.
	Ahead() time.Duration
}

// AheadOf returns Clock.Ahead of a store that is one, and else a function that
// returns 0. It is for times that go from one process to another past the store,
// such as in what a browser carries: they are those of the store's clock.
func AheadOf(store any) func() time.Duration {
	if shared, ok := store.(Clock); ok {
		return shared.Ahead
	}
	return func() time.Duration { return 0 }
}

// NowOf returns the clock of a store that is a Clock, and else now. By it all
// processes alike judge what others say of time, and say something of it themselves.
func NowOf(store any, now func() time.Time) func() time.Time {
	if shared, ok := store.(Clock); ok {
		return func() time.Time { return now().Add(shared.Ahead()) }
	}
	return now
}
