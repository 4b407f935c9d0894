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
	// ErrPlace: a list was to go on where no page of it ended.
	ErrPlace = errors.New("storage: no page of this list ended there")
)

// IsFailure reports whether an error says that the store could not do its work, and
// not that a record is not there, that the store was closed or the caller went away.
func IsFailure(err error) bool {
	return err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrClosed) && !errors.Is(err, context.Canceled)
}

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
	SealedStore

	// Sweep removes records that ended before now, a bounded number per
	// transaction so that it never holds up other callers, and returns how
	// many it removed. With a connection, its OnExpiry is queued.
	Sweep(ctx context.Context, now time.Time) (int, error)
	// Empty reports whether nothing is stored at all.
	Empty(ctx context.Context) (bool, error)
	// Check fails if what is stored from now on may be lost, or nothing can be stored.
	// It is called every few seconds, and may store something itself to find out.
	Check(ctx context.Context) error
	// Usage tells how much is stored. It looks at a bounded number of records.
	Usage(ctx context.Context, now time.Time) (Usage, error)

	// Close releases the store. Later calls return ErrClosed.
	Close() error
}

// SignInEnder is a store that can be put back as it was earlier, such as from a backup.
type SignInEnder interface {
	// EndSignIns ends all by which somebody is let in, or could be: grants with their
	// tokens, browser sessions, sign-ins under way, the virtual keys of the store and
	// the keys that sites sign with. It is for records that are older than what was
	// ended since, while nobody else works on them. What people connected stays, and so
	// do registrations. After an error it is to be called again.
	EndSignIns(ctx context.Context, now time.Time) (Ended, error)
}

// Ended is what EndSignIns ended.
type Ended struct {
	Grants, Sessions, Flows int
	VirtualKeys             []string // names of those that were disabled
	SigningKeys             int      // sites whose keys are to be made anew
	InitialTokens           int      // sites whose initial access tokens ended
}

// Counts reports whether a site value of the name ends with the sign-ins, and counts
// it. It is for stores.
func (e *Ended) Counts(name, signingKeys string) bool {
	switch name {
	case signingKeys:
		e.SigningKeys++
	case InitialTokensName:
		e.InitialTokens++
	default:
		return false
	}
	return true
}

// SealedKind is a kind of sealed value, in the words of operators.
type SealedKind string

// The kinds of sealed value.
const (
	SealedConnection   SealedKind = "connection"
	SealedRevocation   SealedKind = "revocation"
	SealedConnectState SealedKind = "pending"
	SealedRegistration SealedKind = "registration"
	SealedPerson       SealedKind = "person"
	SealedSignOut      SealedKind = "sign_out"
	SealedSigningKeys  SealedKind = "signing_keys"
	SealedTraces       SealedKind = "traces"
	SealedCatalog      SealedKind = "catalog"
	SealedPins         SealedKind = "pinned_tools"
)

// SealedValue is a value of a record that is sealed, see packages seal and sealed.
type SealedValue struct {
	Kind    SealedKind
	Context []string // that it was sealed for
	Sealed  []byte
}

// SealedStore shows what is sealed in the records, whatever they are, and lets it
// be sealed anew.
type SealedStore interface {
	// ReplaceSealed shows fn what is sealed in the records, from the first behind
	// after on, and stores what fn returns in its place, unless that is nil. It looks
	// at about limit records and returns where to go on, empty at the end.
	//
	// Nothing else of a record changes: no Revision, no lease, no end. But who
	// replaces by what is sealed (PutUpstreamClient, DeleteUpstreamClient,
	// ReplaceSiteValue) finds it changed. A record that somebody else is changing, or
	// that cannot be read, may be left out. fn must not call the store, and may be
	// called more than once for the same value.
	ReplaceSealed(ctx context.Context, after string, limit int, fn func(SealedValue) []byte) (next string, err error)
}

// MaxCounted is where Usage stops counting records of a kind.
const MaxCounted = 10_000

// Usage is how much is stored.
type Usage struct {
	// Bytes is how much room the store takes up, or 0 if it is on no disk.
	Bytes int64
	// PendingFlows are sign-ins in which a person has said who they are, and not
	// decided yet; Revocations is what providers are still to be told to revoke.
	// Neither is more than MaxCounted.
	PendingFlows, Revocations int
}

// Observer is told of each transaction of a store: whether it may change
// something, how long it took, and how it failed. It must not block.
type Observer func(changes bool, took time.Duration, err error)

// Observe tells the observer, unless there is none, of a transaction that ends now.
func (o Observer) Observe(changes bool, began time.Time, err error) {
	if o != nil {
		o(changes, time.Since(began), err)
	}
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
	// The store outlives ctx, which ends when neither that configuration nor one that
	// came later wants the store any more.
	// A store that cannot be opened is tried again while its sites answer 503.
	// An error that is ErrInUse ends a process that serves nothing else.
	// If it takes long, ReportOpening of ctx lets the sites answer 503 meanwhile.
	Open(ctx context.Context) (Store, error)
}

// OpeningProgress is told how far the opening of a store is, in any unit. An error of
// it is why the opening is to end.
type OpeningProgress func(done, total int64) error

type openingKey struct{}

// WithOpeningProgress returns a context for an Opener that has something to tell.
func WithOpeningProgress(ctx context.Context, progress OpeningProgress) context.Context {
	return context.WithValue(ctx, openingKey{}, progress)
}

// ReportOpening tells whoever opens a store how far it is. Nobody waits for the store
// any more from the first time on, so it is to be known by then that nobody else has it.
func ReportOpening(ctx context.Context, done, total int64) error {
	progress, ok := ctx.Value(openingKey{}).(OpeningProgress)
	if !ok {
		return nil
	}
	return progress(done, total)
}
