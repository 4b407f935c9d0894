package storage

import "time"

// AccessToken is all the gate must know of a call.
type AccessToken struct {
	Hash     Hash
	GrantID  string
	Issuer   string
	ClientID string
	Identity Identity
	Scope    []string
	// Audience is the resources the token is good for. Never empty.
	Audience []string
	// Chosen is what the grant says of the Audience. It is for the store alone to say,
	// when the token is issued and when the grant changes.
	Chosen    []Choice
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// MaxAccessTokens is how many access tokens of a grant live side by side.
// When one more is issued, the oldest ends.
const MaxAccessTokens = 16

// RefreshToken is one link of a grant's family.
type RefreshToken struct {
	Hash      Hash
	GrantID   string
	Issuer    string
	ClientID  string
	ExpiresAt time.Time
	// RotatedAt is zero for the head of the family.
	RotatedAt time.Time
	// Successor is the token that replaced this one.
	Successor *Hash
	// Predecessor is the token that this one replaced, if its record has no more
	// use once this one is used: see Rotation.GrantID.
	Predecessor *Hash
	// Authenticated tells that the client proved who it is when it got the
	// first token of the family, or since.
	Authenticated bool
}

// Issue is what one token response creates. Both tokens carry the ID of the
// grant they are issued under. The access token has what the grant says is chosen of
// its audience, and ends with the grant at the latest, whatever was known of that.
type Issue struct {
	Access AccessToken
	// Refresh is nil when the client gets no refresh token.
	Refresh *RefreshToken
	// GrantExpiresAt is the new ExpiresAt of the grant, which never passes
	// its AbsoluteExpiresAt.
	GrantExpiresAt time.Time
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
	// other's is kept for as long as the token would have lived, even if its grant
	// dropped out of a quota; it is good for nothing then, and Expired.
	GrantID string
	// Issue replaces the token. Issue.Refresh is never nil, but for a token
	// without record.
	Issue Issue
	// Replay is the token response, sealed under a key that only the
	// presented token yields. It is kept with that token for Grace, to answer
	// a client that lost the response; whoever holds the database cannot read it.
	Replay []byte
	// UsesUp is that of a CodeClaim.
	UsesUp *OneTime
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
