package storage

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// Hash is the SHA-256 of a bearer secret. All such secrets are 256 random
// bits, so a fast unsalted hash is enough: there is nothing to guess.
type Hash [sha256.Size]byte

// HashOf returns the hash under which the secret is stored.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// MarshalText writes the hash in base64url, for records.
func (h Hash) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reverses MarshalText.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.AppendDecode(nil, text)
	if err != nil || len(b) != len(h) {
		return errors.New("storage: not a hash")
	}
	*h = Hash(b)
	return nil
}

// Client is a dynamically registered client (RFC 7591 section 2).
// Pre-registered clients live in the configuration and metadata-document
// clients at their own URL; neither is stored.
type Client struct {
	ID     string `json:"id"`
	Issuer string `json:"issuer"` // the authorization server it registered with
	// Metadata is the effective registered metadata, as it is shown to the client.
	Metadata json.RawMessage `json:"metadata"`
	// SecretHash is nil for a public client.
	SecretHash *Hash `json:"secret_hash,omitempty"`
	// RegistrationTokenHash guards reading, updating and deleting the
	// registration (RFC 7592 section 3).
	RegistrationTokenHash Hash      `json:"registration_token_hash"`
	CreatedAt             time.Time `json:"created_at"`
	// ExpiresAt is when a registration that nobody used, or whose grants have
	// all ended, is forgotten. SubmitFlow moves it.
	ExpiresAt time.Time `json:"expires_at"`
	// Sender is what the client counts towards while nobody approved it: what
	// one sender could hold of the addresses around the one that it registered
	// from, hashed.
	Sender *Hash `json:"sender,omitempty"`
	// Used tells that somebody who proved who they are approved this client at
	// least once.
	Used bool `json:"used"`
	// Quota is what the client counts towards while only identities that prove
	// nothing approved it: that of the first of them, in QuotaBlock. ApprovedAt
	// is when the last of them did.
	Quota      *Hash     `json:"quota,omitempty"`
	QuotaBlock *Hash     `json:"quota_block,omitempty"`
	ApprovedAt time.Time `json:"approved_at,omitzero"`
}

// Flow is what a person has decided so far about one authorization request.
// The request itself is not here: it travels sealed with the browser, so a
// stranger's requests leave nothing in the store.
type Flow struct {
	ID       string   `json:"id"` // also inside the sealed request
	Issuer   string   `json:"issuer"`
	Identity Identity `json:"identity"`
	// Browser is the hash of the cookie that binds the flow to one browser.
	Browser Hash `json:"browser,omitzero"`
	// Submitted marks a flow that ended in a grant or a refusal. It stays
	// until ExpiresAt so that a second submit is told apart from an expired one.
	Submitted bool      `json:"submitted"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Identity is who a person proved, or claimed, to be.
type Identity struct {
	// Kind names the way of proof: virtual_key, user_id, anonymous, caddy.
	Kind string `json:"kind"`
	// Subject is unique within the issuer over all kinds.
	Subject string `json:"subject"`
	// Name is what a person recognises themselves by. Never a key.
	Name string `json:"name,omitempty"`
	// Proof tells what proved it from what did before or will later, where that
	// can change under the same Subject. It is no secret.
	Proof string `json:"proof,omitempty"`
}

// Same reports whether both are the same person by the same proof. Whoever was
// given a name together with another key is not who had the name before.
func (i Identity) Same(other Identity) bool {
	return i.Kind == other.Kind && i.Subject == other.Subject && i.Proof == other.Proof
}

// Authentication is a person at our pages, for as long as they are there: signed in
// in a browser session, or in a pending flow. What they begin there, such as
// the way to a provider, is worth nothing once they have left.
type Authentication struct {
	Identity Identity `json:"identity"`
	// Session is of the browser session, FlowID of the flow: one of the two.
	Session Hash   `json:"session,omitzero"`
	FlowID  string `json:"flow_id,omitempty"`
}

// SiteValue is what a site keeps in mind across configurations and restarts, such as
// which keys it knew and when a person last proved who they are.
type SiteValue struct {
	Issuer string `json:"issuer"`
	Name   string `json:"name"`
	Text   string `json:"text"`
	// ExpiresAt is zero for what is kept until it is replaced.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// MaxAccessTokens is how many access tokens of a grant live side by side.
// When one more is issued, the oldest ends.
const MaxAccessTokens = 16

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
	// RevokedAt is zero while the grant stands.
	RevokedAt time.Time
	// AccessTokens are the access tokens of the family, oldest first. Some may
	// have ended: they are forgotten when the next one is issued.
	AccessTokens []Hash
	// RefreshToken is the head of the family: the one that was not used yet. It
	// stays when the grant is revoked, to be recognised.
	RefreshToken *Hash
}

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
	// live, to recognise a replay. Burned marks one that a wrong verifier
	// spoiled; it stays until ExpiresAt.
	Claimed     bool `json:"claimed,omitempty"`
	ProofFailed bool `json:"burned,omitempty"`
}

// AccessToken is all the gate must know of a call: one read, no join.
type AccessToken struct {
	Hash     Hash
	GrantID  string
	Issuer   string
	ClientID string
	Identity Identity
	Scope    []string
	// Audience is the resources the token is good for. Never empty.
	Audience  []string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

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
