package storage

import "time"

// Code is an authorization code (RFC 6749 section 4.1.2): single use, and
// bound to everything the request said.
type Code struct {
	Hash        Hash   `json:"-"`
	GrantID     string `json:"grant_id"`
	Issuer      string `json:"issuer"`
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
	// Challenge is the S256 code challenge (RFC 7636 section 4.2).
	Challenge string    `json:"challenge"`
	ExpiresAt time.Time `json:"expires_at"`
	// Claimed marks a redeemed code. It stays for as long as the grant can
	// live, to recognise a replay. ProofFailed marks one that a wrong
	// verifier made worthless; it stays until ExpiresAt.
	Claimed     bool `json:"claimed,omitempty"`
	ProofFailed bool `json:"burned,omitempty"`
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
	// UsesUp, unless nil, is used up in the same transaction, whatever comes of it.
	// If it was used before, that is AlreadyUsed, and nothing is changed.
	UsesUp *OneTime
	Now    time.Time
}

// CodeResult tells how a ClaimCode ended.
type CodeResult struct {
	Verdict    Verdict
	Grant      Grant // for OK
	Revocation       // for Replayed
}
