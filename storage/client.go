package storage

import (
	"encoding/json"
	"time"
)

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
