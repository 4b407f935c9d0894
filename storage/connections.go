package storage

import (
	"context"
	"time"
)

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
	// Revokes is queued in the transaction that stores the connection, be it
	// PutConnection or SubmitFlow: the revocation of what it takes the place
	// of. It is no part of the record.
	Revokes *ProviderRevocation `json:"-"`
	// UsesUp is used up, as by UseOnce, in the transaction in which
	// PutConnection stores the connection. It is no part of the record.
	UsesUp *OneTime `json:"-"`
	// Authentication, unless nil, is who must still be there when PutConnection stores
	// the connection. It is no part of the record.
	Authentication *Authentication `json:"-"`
	// LastDisconnect, unless nil, is what the method of this name returned when
	// somebody began to connect. It is no part of the record.
	LastDisconnect *uint64 `json:"-"`
}

// DisconnectMemory is how long a Disconnect is remembered. It is longer than
// anybody takes to connect something.
const DisconnectMemory = time.Hour

// OneTime is a one-time value, and until when it is remembered to be used.
type OneTime struct {
	Hash      Hash
	ExpiresAt time.Time
}

// ConnectState is a person's trip to a provider, between our redirect and the
// provider's answer (RFC 6749 section 4.1.1). Everything that the answer is
// checked against was recorded before the person left.
type ConnectState struct {
	// Hash is of the state parameter.
	Hash Hash `json:"-"`
	ConnectionKey
	// Browser is the hash of the cookie that binds the trip to one browser.
	Browser Hash `json:"browser"`
	// Provider is the issuer that must answer (RFC 9207 section 2.4).
	Provider string `json:"provider"`
	// Secret is sealed: code verifier, endpoints, client, requested scopes and
	// resource, where to go afterwards.
	Secret    []byte    `json:"secret"`
	ExpiresAt time.Time `json:"expires_at"`
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

// BrowserSession is a person signed in to the account and connect pages.
type BrowserSession struct {
	Hash Hash `json:"-"` // of the cookie
	// Replaces is the session that the browser had before and that ends when
	// this one is stored; zero if it had none. It is not kept.
	Replaces Hash `json:"-"`
	// Flows are the hashes of the browser's flow cookies. If the session before
	// was somebody else's, the flows of that person among them end. They are not kept.
	Flows []Hash `json:"-"`
	// EndsOthers tells that whoever signs in is somebody in particular: of Flows,
	// those of everybody else end, signed in before or not. It is not kept.
	EndsOthers bool `json:"-"`
	// Quota is nil for a person who proved who they are. Else anybody can have
	// made the session, and beyond the quota the oldest end. It is not kept.
	Quota     *Quota    `json:"-"`
	Issuer    string    `json:"issuer"`
	Identity  Identity  `json:"identity"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// ConnectionStore keeps what people connected. The rules of Store hold.
type ConnectionStore interface {
	// Connection returns a connection in whatever state, or ErrNotFound.
	Connection(ctx context.Context, k ConnectionKey, now time.Time) (Connection, error)
	// ConnectionByID returns the connection with the public handle, or ErrNotFound.
	ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (Connection, error)
	// ConnectionsOf returns an owner's connections, by server; with an empty
	// owner, those of everybody at the issuer.
	ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]Connection, error)
	// PutConnection stores the connection if its ID and Revision are still the
	// stored ones, Revision 0 meaning that there is none, and returns it with
	// the next Revision.
	//   OK        stored, c.Revokes queued and c.UsesUp used; a lease ends with it.
	//   Burned    c.UsesUp was used before: nothing was changed, the current
	//             connection is returned, if any.
	//   Revoked   c.While is not there any more: the same.
	//   Expired   it was disconnected after c.LastDisconnect: the same.
	//   Mismatch  somebody changed or removed it since: the same.
	PutConnection(ctx context.Context, c Connection, now time.Time) (Connection, Verdict, error)
	// LeaseConnection lets one caller at a time refresh a connection that is
	// active or in doubt. The lease is durable before the caller sends anything.
	//   OK        the lease is the caller's until then; the connection is
	//             returned with its next Revision, and if it is in doubt with
	//             one more of its Retries.
	//   Repeated  another caller holds a lease; the connection as it stands.
	//   Burned    a lease ran out without a result: the connection is in doubt
	//             from now on, committed, and returned so, with its next Revision.
	//   Mismatch  the Revision is not the one the caller decided on, or the
	//             connection is neither; as it stands.
	//   Unknown   no such connection.
	LeaseConnection(ctx context.Context, k ConnectionKey, revision uint64, holder string, until, now time.Time) (Connection, Verdict, error)
	// Disconnect removes a connection, if its ID and Revision are still the
	// stored ones, and every pending trip to its provider, so that a late answer
	// cannot bring it back, nor, by LastDisconnect, one that is being exchanged for
	// tokens; and it queues the revocation of what it had, if there
	// is one, in the same transaction. A caller who found none gives its key.
	//   OK        removed.
	//   Unknown   there is none, or none any more; the rest is done all the same.
	//   Mismatch  somebody changed it since: nothing was changed, the current
	//             connection is returned.
	Disconnect(ctx context.Context, c Connection, queue *ProviderRevocation, now time.Time) (Connection, Verdict, error)

	// LastDisconnect tells the last Disconnect with the key from the ones before,
	// by a number that grows with each; 0 if there was none within DisconnectMemory.
	LastDisconnect(ctx context.Context, k ConnectionKey) (uint64, error)

	// SaveConnectState records a trip to a provider.
	SaveConnectState(ctx context.Context, s ConnectState) error
	// ClaimConnectState ends a trip, once.
	//   OK        this caller may exchange the code.
	//   Mismatch  another browser: nothing was changed.
	//   Unknown   no such trip, it has expired, or it was claimed before.
	ClaimConnectState(ctx context.Context, state, browser Hash, now time.Time) (ConnectState, Verdict, error)

	// UpstreamClient returns our registration at a provider, or ErrNotFound.
	UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (UpstreamClient, error)
	// UpstreamClients returns all of an issuer's, by server and provider.
	UpstreamClients(ctx context.Context, issuer string, now time.Time) ([]UpstreamClient, error)
	// PutUpstreamClient stores it in place of the one whose Secret is replaces,
	// nil meaning that there is none.
	//   OK        stored.
	//   Mismatch  somebody changed, stored or removed it since: nothing was changed.
	PutUpstreamClient(ctx context.Context, c UpstreamClient, replaces []byte, now time.Time) (Verdict, error)
	// DeleteUpstreamClient forgets it, as when the provider did, if its Secret
	// is still the stored one; else nothing is changed.
	DeleteUpstreamClient(ctx context.Context, c UpstreamClient) error

	// DueRevocations hands out at most limit queued revocations that are due,
	// and moves each one's DueAt to retryAt and counts the attempt, so that
	// no two callers hold the same.
	DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]ProviderRevocation, error)
	// QueueRevocation queues a revocation of what was never stored.
	QueueRevocation(ctx context.Context, r ProviderRevocation) error
	// EndRevocation removes a queued revocation.
	EndRevocation(ctx context.Context, id string) error

	// GrantsOf returns the grants of a subject that stand, oldest first.
	GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]Grant, error)

	// CreateBrowserSession signs a browser in to the pages; SubmitFlow does too.
	CreateBrowserSession(ctx context.Context, s BrowserSession) error
	// BrowserSession returns who is signed in, or ErrNotFound.
	BrowserSession(ctx context.Context, h Hash, now time.Time) (BrowserSession, error)
	// DeleteBrowserSession signs a browser out. Of the pending flows of its
	// person, those end that are bound to one of the cookies with the hashes.
	DeleteBrowserSession(ctx context.Context, h Hash, flows []Hash, now time.Time) error
	// DeleteBrowserSessions signs a subject out in every browser.
	DeleteBrowserSessions(ctx context.Context, issuer, subject string) error
	// EndFlows ends the pending flows of a subject: each is as if nobody had
	// said yet who they are. What was connected in it is removed, with its trips;
	// its OnExpiry is queued.
	EndFlows(ctx context.Context, issuer, subject string, now time.Time) error
}
