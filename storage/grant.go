package storage

import "time"

// Grant is what a person approved for a client. Its tokens form one family:
// revoking the grant revokes them all.
type Grant struct {
	ID       string
	Issuer   string
	ClientID string
	Identity Identity
	Scope    []string
	// Resources are the protected resources (RFC 8707) the person approved.
	Resources []string
	// ResourcesRequested tells that the client named the resources. Such a
	// client must name one of several again for each token, while for one that
	// named none a token is good for all of them.
	ResourcesRequested bool
	// RedirectURI is the one the grant was made through.
	RedirectURI string
	// ClientName is what the consent page showed.
	ClientName string
	CreatedAt  time.Time
	// ExpiresAt is when the grant ends if nothing renews it; rotation moves it
	// up to, never beyond, AbsoluteExpiresAt.
	ExpiresAt         time.Time
	AbsoluteExpiresAt time.Time
	LastUsedAt        time.Time // the last issue of a token
	// RevokedAt is zero while the grant is valid.
	RevokedAt time.Time
	// AccessTokens are the access tokens of the family, oldest first. Some may
	// have ended: they are forgotten when the next one is issued.
	AccessTokens []Hash
	// RefreshToken is the head of the family: the one that was not used yet. It
	// stays when the grant is revoked, to be recognised.
	RefreshToken *Hash
}

// Revocation lists what stopped working, for caches to forget.
type Revocation struct {
	AccessTokens []Hash   `json:"access_tokens,omitempty"`
	GrantIDs     []string `json:"grant_ids,omitempty"`
}
