package storage

import (
	"context"
	"time"
)

// AuthStore keeps what the authorization server and the gate must remember:
// clients, flows, grants, and what was issued under them.
type AuthStore interface {
	// CreateClient stores a registration under a new ID, which nobody knows before
	// it returns. While more than unused.Max registrations of its issuer have never
	// been approved by anybody, the oldest of the sender that has most of them are
	// dropped, so that a flood can neither lock out a newcomer, nor push out what
	// others registered, nor touch a client that is in use. (Those that somebody
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
	// Clients returns up to limit registrations, of all issuers, by ID from the
	// first one behind after. next is as that of Grants.
	Clients(ctx context.Context, after string, limit int, now time.Time) (clients []Client, next string, err error)
	// DeleteClient removes a registration and revokes its grants. It returns
	// ErrNotFound if there is none.
	DeleteClient(ctx context.Context, id string, now time.Time) (Revocation, error)

	// SaveFlow stores who the person is, unless the flow was submitted, or they
	// are known by a session that is not theirs or has ended.
	// It answers OK, Submitted or SignedOut. What somebody else, or the same person by
	// another proof, connected in the flow before is removed, as are their
	// connect states; its OnExpiry is queued.
	SaveFlow(ctx context.Context, f Flow, now time.Time) (Verdict, error)
	// Flow returns a flow, submitted ones included, or ErrNotFound.
	Flow(ctx context.Context, id string, now time.Time) (Flow, error)
	// SubmitFlow ends a flow. The mark and all effects are one transaction.
	//   OK         the flow is marked submitted and, when s.Grant is not nil,
	//              grant and code are stored, s.Adopt is given to its owner,
	//              s.Browser is signed in, and the client's registration is kept
	//              for as long as the grant can live plus s.KeepClient; s.Quota
	//              bounds how many are kept so.
	//   Submitted  it was submitted before.
	//   Unknown    there is no such flow, or it has expired.
	//   Changed    the flow's identity, session or connections are not those that
	//              the person saw, or what the owner had is not.
	//   SignedOut  the session by which the person is known has ended.
	SubmitFlow(ctx context.Context, s Submission) (Verdict, error)
	// EndFlows ends the pending flows of a subject: each is as if nobody had
	// said yet who they are. What was connected in it is removed, with its
	// connect states; its OnExpiry is queued.
	EndFlows(ctx context.Context, issuer, subject string, now time.Time) error

	// Code returns a code as it is, without claiming it, or ErrNotFound.
	// A claimed code is returned for as long as its grant can live.
	Code(ctx context.Context, h Hash, now time.Time) (Code, error)
	// ClaimCode redeems a code for tokens, once.
	//   OK           c.Issue is stored, the grant is returned as it is now.
	//   Unknown      no such code, or it ended and was swept.
	//   Expired      the code, or its grant, ended.
	//   WrongClient  issuer, client or redirect URI differ: nothing changed.
	//   ProofFailed  the challenge differs (the code is worthless from now on,
	//                unless it was claimed before: then nothing changes), or did earlier.
	//   Replayed     the rightful client redeems it again: the grant is revoked now.
	//   Revoked      the grant was revoked in between.
	ClaimCode(ctx context.Context, c CodeClaim) (CodeResult, error)

	// RefreshToken returns a refresh token as it is, and its grant, or
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
	//   Unknown, Expired, WrongClient, Revoked: as for ClaimCode.
	// Records stay bounded: of a family whose tokens prove their grant there are
	// the head and its predecessor.
	RotateRefreshToken(ctx context.Context, r Rotation) (RotationResult, error)

	// IssueGrant stores a grant and its access token, under IDs that nobody knows before
	// it returns. While more than g.Max grants of the subject at the issuer were
	// stored so, the oldest are removed with their tokens, those that ended first.
	// It answers OK, or AlreadyUsed as ClaimCode does.
	IssueGrant(ctx context.Context, g ServiceGrant) (Verdict, error)

	// AccessToken returns a live access token, or ErrNotFound. One read, and one of
	// the Person where the identity has one: revoking a grant removes its access
	// tokens.
	AccessToken(ctx context.Context, h Hash, now time.Time) (AccessToken, error)
	// RevokeAccessToken removes one live access token if it belongs to issuer and
	// clientID. It reports whether it did.
	RevokeAccessToken(ctx context.Context, h Hash, issuer, clientID string, now time.Time) (bool, error)

	// Grant returns a grant, revoked ones included, or ErrNotFound.
	Grant(ctx context.Context, id string, now time.Time) (Grant, error)
	// Grants returns up to limit valid grants, of everybody at all issuers, by
	// ID from the first one behind after. next is where to go on, empty at the
	// end. A call looks at a bounded number of records, so it may return fewer
	// than limit, or none, before the end.
	Grants(ctx context.Context, after string, limit int, now time.Time) (grants []Grant, next string, err error)
	// GrantsOfClient is Grants for the grants of one client at an issuer.
	GrantsOfClient(ctx context.Context, issuer, clientID, after string, limit int, now time.Time) (grants []Grant, next string, err error)
	// GrantsOf returns the valid grants of a subject, oldest first.
	GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]Grant, error)
	// LastGrant returns the newest valid grant with which a subject let a client in at an
	// issuer, or ErrNotFound: the last of theirs in GrantsOf. However many others the
	// subject has, it reads few of them, for a step of a sign-in waits for it.
	LastGrant(ctx context.Context, issuer, subject, clientID string, now time.Time) (Grant, error)
	// RevokeGrant revokes a grant with all its tokens. An unknown or revoked
	// grant is no error: the Revocation is empty.
	RevokeGrant(ctx context.Context, id string, now time.Time) (Revocation, error)
	// ChangeGrant changes a valid grant of the subject at the issuer, with all access
	// tokens issued under it. What is remembered of those has to be read again: they are
	// the Revocation. It returns ErrNotFound if there is no such grant.
	ChangeGrant(ctx context.Context, c GrantChange) (Revocation, error)

	// UseOnce records a one-time value, such as a client assertion's jti
	// (RFC 7523 section 3), until it expires. It reports whether this call
	// was the first.
	UseOnce(ctx context.Context, h Hash, expiresAt, now time.Time) (bool, error)
	// Used reports whether a one-time value was recorded. It is for telling
	// people early: only UseOnce decides.
	Used(ctx context.Context, h Hash, now time.Time) (bool, error)

	// PutSiteValue stores or replaces what a site keeps under a name.
	PutSiteValue(ctx context.Context, v SiteValue) error
	// ReplaceSiteValue stores a site value in place of the one whose Text is
	// replaces, empty meaning that there is none. It answers OK, or Changed if
	// somebody changed or stored it since: then nothing was changed.
	ReplaceSiteValue(ctx context.Context, v SiteValue, replaces string, now time.Time) (Verdict, error)
	// SiteValue returns it, or ErrNotFound.
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (SiteValue, error)
}

// InitialTokensName is the name of the site value with the initial access tokens that
// an operator made. A restore from a backup ends them.
const InitialTokensName = "initial access tokens"

// SiteValue is what a site keeps under a name across configurations and restarts,
// such as which keys it knew and when a person last proved who they are.
type SiteValue struct {
	Issuer string `json:"issuer"`
	Name   string `json:"name"`
	Text   string `json:"text"` // not empty
	// ExpiresAt is zero for what is kept until it is replaced.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}
