package storage

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store. Any other error means that the store could not do its
// work; the caller must fail closed.
var (
	// ErrNotFound: no such record, or it has expired.
	ErrNotFound = errors.New("storage: not found")
	// ErrClosed: the store was closed, as happens when a process stops.
	ErrClosed = errors.New("storage: closed")
)

// Verdict is the outcome of a verb that two callers can race for.
type Verdict int

const (
	// Unknown: there is no such record. Never confuse it with OK: it is the zero value.
	Unknown Verdict = iota
	// OK: this caller won; the effects are committed.
	OK
	// Expired: the record ended before the call.
	Expired
	// Mismatch: the caller is not the one the record is bound to. Nothing was changed.
	Mismatch
	// Burned: a wrong proof made the record worthless, now or earlier.
	Burned
	// Replayed: the record was used before by its rightful owner, so somebody
	// holds a copy. The grant has been revoked.
	Replayed
	// Repeated: the record was used a moment ago and its outcome is handed
	// out again, unchanged.
	Repeated
	// Revoked: the grant the record belongs to was revoked.
	Revoked
)

// Store keeps the records. All methods are safe for concurrent use.
//
// Time never comes from the store: each verb takes now, so that callers, and
// tests, own the clock. A record whose ExpiresAt is not after now is treated
// as absent even while Sweep has not removed it yet.
//
// A method that changes something returns only after the change is durable.
type Store interface {
	// CreateClient stores a registration under a new ID. While more than
	// unused.Max registrations of its issuer have never been approved by
	// anybody, the oldest of the sender that has most of them are dropped, so
	// that a flood can neither lock out a newcomer, nor push out what others
	// registered, nor touch a client that is in use. (Those that somebody
	// approved are bounded by Submission.Quota.)
	CreateClient(ctx context.Context, c Client, unused Unused) error
	// Client returns a registration, or ErrNotFound.
	Client(ctx context.Context, id string, now time.Time) (Client, error)
	// UpdateClient replaces metadata, secret hash and registration token hash
	// of the registration with the same ID and issuer, provided that it still
	// carries oldToken; else it returns ErrNotFound. With revokeGrants, the
	// client's grants are revoked in the same transaction (RFC 7592 section
	// 2.2: what people approved is no longer what is registered).
	UpdateClient(ctx context.Context, c Client, oldToken Hash, revokeGrants bool, now time.Time) (Revocation, error)
	// DeleteClient removes a registration and revokes its grants. It returns
	// ErrNotFound if there is none.
	DeleteClient(ctx context.Context, id string, now time.Time) (Revocation, error)

	// SaveFlow stores who the person is, unless the flow was submitted.
	// It answers OK, or Burned for a submitted flow. What somebody else, or the
	// same person by another proof, connected in the flow before is removed, as
	// are their trips; its OnExpiry is queued.
	SaveFlow(ctx context.Context, f Flow, now time.Time) (Verdict, error)
	// Flow returns a flow, submitted ones included, or ErrNotFound.
	Flow(ctx context.Context, id string, now time.Time) (Flow, error)
	// SubmitFlow ends a flow. OK: the flow is marked submitted and, when
	// s.Grant is not nil, grant and code are stored, s.Adopt is given to its
	// owner, s.Browser is signed in, and the client's registration is kept for
	// as long as the grant can live plus s.KeepClient; s.Quota bounds how many
	// are kept so. Burned: it was submitted before. Unknown: there
	// is no such flow, or it has expired. Mismatch: the flow's identity or
	// connections changed since the person saw them, or what the owner had
	// did. The winner's effects and the mark are one transaction.
	SubmitFlow(ctx context.Context, s Submission) (Verdict, error)

	// Code returns a code as it stands, without claiming it, or ErrNotFound.
	// A claimed code is returned for as long as its grant can live.
	Code(ctx context.Context, h Hash, now time.Time) (Code, error)
	// ClaimCode redeems a code for tokens, once.
	//   OK        c.Issue is stored, the grant is returned as it is now.
	//   Unknown   no such code, or it ended and was swept.
	//   Expired   the code, or its grant, ended.
	//   Mismatch  issuer, client or redirect URI differ: nothing changed.
	//   Burned    the challenge differs (burned now, unless it was claimed
	//             before: then nothing changes), or was burned earlier.
	//   Replayed  the rightful client redeems it again: the grant is revoked now.
	//   Revoked   the grant was revoked in between.
	ClaimCode(ctx context.Context, c CodeClaim) (CodeResult, error)

	// RefreshToken returns a refresh token as it stands, and its grant, or
	// ErrNotFound when either ended, or its record had no more use. The token that
	// was rotated last is returned too.
	RefreshToken(ctx context.Context, h Hash, now time.Time) (RefreshToken, Grant, error)
	// RotateRefreshToken exchanges a refresh token for its successor.
	//   OK        r.Issue is stored and the presented token marked as rotated.
	//   Repeated  the token was rotated at most r.Grace ago and the successor
	//             is still the head: Replay is what the winner stored. A
	//             winner without Replay or Grace is never repeated.
	//   Replayed  it was rotated longer ago, or its successor was used: the
	//             grant is revoked now. So it is for a token without record that
	//             proves to belong to r.GrantID.
	//   Unknown, Expired, Mismatch, Revoked: as for ClaimCode.
	// Records stay bounded: of a family whose tokens prove their grant there are
	// the head and its predecessor.
	RotateRefreshToken(ctx context.Context, r Rotation) (RotationResult, error)

	// AccessToken returns a live access token, or ErrNotFound. One read, no join:
	// revoking a grant removes its access tokens.
	AccessToken(ctx context.Context, h Hash, now time.Time) (AccessToken, error)
	// RevokeAccessToken removes one access token if it belongs to issuer and
	// clientID. It reports whether it did.
	RevokeAccessToken(ctx context.Context, h Hash, issuer, clientID string) (bool, error)
	// RevokeGrant revokes a grant with all its tokens. An unknown or revoked
	// grant is no error: the Revocation is empty.
	RevokeGrant(ctx context.Context, id string, now time.Time) (Revocation, error)
	// Grant returns a grant, revoked ones included, or ErrNotFound.
	Grant(ctx context.Context, id string, now time.Time) (Grant, error)

	// Grants returns up to limit grants that stand, of everybody at all
	// issuers, by ID from the first one behind after. next is where to go on,
	// empty at the end. A call looks at a bounded number of records, so it may
	// return fewer than limit, or none, before the end.
	Grants(ctx context.Context, after string, limit int, now time.Time) (grants []Grant, next string, err error)

	// UseOnce records a one-time value, such as a client assertion's jti
	// (RFC 7523 section 3), until it expires. It reports whether this call
	// was the first.
	UseOnce(ctx context.Context, h Hash, expiresAt, now time.Time) (bool, error)
	// Used reports whether a one-time value was recorded. It is for telling
	// people early: only UseOnce decides.
	Used(ctx context.Context, h Hash, now time.Time) (bool, error)

	ConnectionStore

	// PutSiteValue stores or replaces what a site keeps in mind under a name.
	PutSiteValue(ctx context.Context, m SiteValue) error
	// SiteValue returns it, or ErrNotFound.
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (SiteValue, error)

	// Sweep removes records that ended before now, a bounded number per
	// transaction so that it never holds up other callers, and returns how
	// many it removed. With a connection, its OnExpiry is queued.
	Sweep(ctx context.Context, now time.Time) (int, error)

	// Close releases the store. Later calls return ErrClosed.
	Close() error
}

// Submission ends a flow.
type Submission struct {
	FlowID string
	Issuer string
	// Identity is whom the person saw on the page they submitted.
	Identity Identity
	Grant    *Grant // nil when the person refused
	Code     *Code  // nil when the person refused
	// Adopt are the connections made in this flow, sealed anew for their
	// owner. Each has the ID of the one that it replaces or, where the owner has
	// none for the server, of the flow's. Revision is the one of the flow's
	// connection it was made from; if that changed since, the owner has another
	// connection by now, or the flow one that is not here, the verdict is Mismatch.
	// The flow's connections are removed, also when the person refused.
	Adopt []Connection
	// Browser signs the browser of the person who approved in to the account
	// and connect pages; nil does not. It is Identity's.
	Browser    *BrowserSession
	KeepClient time.Duration
	// Quota is nil when the person proved who they are. Else anybody can have
	// made the grant, and its client counts towards the quota, not as used.
	Quota *Quota
	Now   time.Time
}

// Unused bounds the registrations that nobody approved yet. Max <= 0 sets no
// bound.
type Unused struct {
	Max int
	// Spare reports whether a client had better not be dropped, because somebody
	// is about to approve it. One is dropped nevertheless if its sender has no
	// others. It must not call the store. nil spares none.
	Spare func(clientID string) bool
}

// Quota bounds the registrations, the grants and the browser sessions that count
// towards it, each for themselves. Beyond
// Max, the registrations that nobody approved for longest are dropped, but never
// the one that is being approved, and the oldest grants are removed with their
// tokens, those that ended first. Key lies in Block, which all keys in it may
// fill up to MaxBlock; beyond that, it is those of the key that has most. A bound
// <= 0 is none.
type Quota struct {
	Key, Block    Hash
	Max, MaxBlock int
}

// Issue is what one token response creates. Both tokens carry the ID of the
// grant they are issued under.
type Issue struct {
	Access AccessToken
	// Refresh is nil when the client gets no refresh token.
	Refresh *RefreshToken
	// GrantExpiresAt is the new ExpiresAt of the grant, which never passes
	// its AbsoluteExpiresAt.
	GrantExpiresAt time.Time
}

// CodeClaim redeems a code.
type CodeClaim struct {
	Hash     Hash
	Issuer   string
	ClientID string
	// RedirectURI is compared unless empty: OAuth 2.1 clients do not send it
	// again (OAuth 2.1 section 10.2).
	RedirectURI string
	// Challenge is computed from the presented verifier.
	Challenge string
	Issue     Issue
	Now       time.Time
}

// CodeResult tells how a ClaimCode ended.
type CodeResult struct {
	Verdict    Verdict
	Grant      Grant // for OK
	Revocation       // for Replayed
}

// Rotation exchanges a refresh token.
type Rotation struct {
	Hash     Hash
	Issuer   string
	ClientID string
	// Grace is how long the outcome is repeated for; 0 means never.
	Grace time.Duration
	// GrantID is the grant that the presented token proves to belong to by
	// itself, or empty if it cannot. The record of one that can is removed as
	// soon as its successor was used: its reuse is recognised without. Any
	// other's is kept for as long as the token would have lived.
	GrantID string
	// Issue replaces the token. Issue.Refresh is never nil, but for a token
	// without record.
	Issue Issue
	// Replay is the token response, sealed under a key that only the
	// presented token yields. It is kept with that token for Grace, to answer
	// a client that lost the response; whoever holds the database cannot read it.
	Replay []byte
	Now    time.Time
}

// RotationResult tells how a RotateRefreshToken ended.
type RotationResult struct {
	Verdict Verdict
	Grant   Grant  // for OK and Repeated
	Replay  []byte // for Repeated
	// Revocation is the whole family for Replayed, and for OK the access
	// tokens that gave way (MaxAccessTokens).
	Revocation
}

// Revocation lists what stopped working, for caches to forget.
type Revocation struct {
	AccessTokens []Hash
	GrantIDs     []string
}
