package storage

import "time"

// ConnectionState is how well a connection works.
type ConnectionState string

// The states of a connection.
const (
	// Active: the credentials work, as far as anybody knows.
	Active ConnectionState = "active"
	// NeedsReauth: the provider refused them for good; the person must connect again.
	NeedsReauth ConnectionState = "needs_reauth"
	// InDoubt: a refresh token was sent and no answer came back. The provider
	// may have replaced it, and may take a second use for theft.
	InDoubt ConnectionState = "in_doubt"
	// Disconnected: the person or an operator ended the connection. It has no credentials.
	Disconnected ConnectionState = "revoked"
)

// ConnectionKey names a connection: whose, and to which upstream server.
type ConnectionKey struct {
	Issuer string `json:"issuer"`
	// Owner is the subject of an identity, FlowOwner of a flow that is still
	// pending, or SharedOwner.
	Owner  string `json:"owner"`
	Server string `json:"server"`
}

// SharedOwner owns the connection that everybody uses, for servers whose
// operator connected them once.
const SharedOwner = "shared:"

// FlowOwner returns the owner of what is connected before the flow ends. It is
// no subject: those start with the kind of an identity.
func FlowOwner(flowID string) string { return "flow:" + flowID }

// Connection is a person's link to one upstream server.
type Connection struct {
	ConnectionKey
	// ID is the public handle of the connection. It is not a secret and stays
	// the same when the person connects again.
	ID    string          `json:"id"`
	State ConnectionState `json:"state"`
	// Secret is the sealed credentials. What seals them binds them to ID,
	// Issuer, Owner and Server.
	Secret []byte `json:"secret,omitempty"`
	// Provider is the issuer of the provider's authorization server; empty for
	// credentials that a person pasted.
	Provider string   `json:"provider,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	// TokenExpiresAt is zero when the provider did not say.
	TokenExpiresAt time.Time `json:"token_expires_at,omitzero"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	// ExpiresAt is when an unfinished connection of a flow is forgotten. Zero
	// keeps a connection until it is deleted.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Revision grows with every change. A change that was decided on an older
	// revision is refused.
	Revision uint64 `json:"revision"`
	// Lease is held by the one caller that may talk to the provider's token
	// endpoint about this connection.
	Lease      string    `json:"lease,omitempty"`
	LeaseUntil time.Time `json:"lease_until,omitzero"`
	// Retries counts the leases of a connection in doubt: how often the
	// provider may have been sent the refresh token after the one that got lost.
	Retries int `json:"retries,omitempty"`
	// RefusedSince is since when the provider has refused to refresh it
	// without a clear reason; zero if it does not.
	RefusedSince time.Time `json:"refused_since,omitzero"`
	// OnExpiry is queued if the connection expires, so that the provider hears
	// of what nobody wanted in the end. nil forgets it without a word.
	OnExpiry *ProviderRevocation `json:"on_expiry,omitempty"`
}

// ConnectionReplacement is a connection that a person just made, to take the place
// of what its owner had, if anything.
type ConnectionReplacement struct {
	Connection
	// Revokes is queued in the same transaction, unless nil: the revocation of
	// what is replaced.
	Revokes *ProviderRevocation
	// UsesUp is used up in the same transaction, as by UseOnce, unless nil.
	UsesUp *OneTime
	// Authentication, unless nil, must still hold.
	Authentication *Authentication
	// LastDisconnect, unless nil, is what the method of this name returned when
	// the person began to connect.
	LastDisconnect *uint64
}

// DisconnectMemory is how long a Disconnect is remembered. It is longer than
// anybody takes to connect something.
const DisconnectMemory = time.Hour

// OneTime is a one-time value, and until when it is remembered to be used.
type OneTime struct {
	Hash      Hash
	ExpiresAt time.Time
}

// UpstreamClient is what the gateway is known as at a provider.
type UpstreamClient struct {
	Issuer   string `json:"issuer"`   // ours
	Provider string `json:"provider"` // the issuer of the provider
	// Server scopes the registration to one upstream server: redirect URIs differ.
	Server    string    `json:"server"`
	Secret    []byte    `json:"secret"` // sealed client ID, secret, metadata
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// ProviderRevocation is a token that a provider is still to be told to revoke
// (RFC 7009), after it has stopped working here.
type ProviderRevocation struct {
	ID       string    `json:"id"`
	Issuer   string    `json:"issuer"`
	Server   string    `json:"server"`
	Secret   []byte    `json:"secret"` // sealed tokens and where to revoke them
	Attempts int       `json:"attempts"`
	DueAt    time.Time `json:"due_at"`
	// ExpiresAt is when nobody tries any more.
	ExpiresAt time.Time `json:"expires_at"`
}
