package storage

import (
	"context"
	"time"
)

// ConnectionStore keeps the accounts that people connected, and what it takes
// to connect, refresh and revoke them.
type ConnectionStore interface {
	// Connection returns a connection in whatever state, or ErrNotFound.
	Connection(ctx context.Context, k ConnectionKey, now time.Time) (Connection, error)
	// ConnectionByID returns the connection with the public handle, or ErrNotFound.
	ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (Connection, error)
	// ConnectionsOf returns an owner's connections, by server; with an empty
	// owner, those of everybody at the issuer.
	ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]Connection, error)
	// Connections returns up to limit connections of everybody at an issuer, from
	// the first one behind after, in an order of the store's own. next is where to
	// go on, empty at the end; a page may be short, or empty, before.
	Connections(ctx context.Context, issuer, after string, limit int, now time.Time) (connections []Connection, next string, err error)
	// PutConnection stores a change of a connection if its ID and Revision are
	// still the stored ones, Revision 0 meaning that there is none, and returns
	// it with the next Revision.
	//   OK       stored; a lease ends with it.
	//   Changed  somebody changed or removed it since: nothing was changed, the
	//            current connection is returned, if any.
	PutConnection(ctx context.Context, c Connection, now time.Time) (Connection, Verdict, error)
	// ReplaceConnection is PutConnection for what a person just connected. Where
	// it stores nothing, it changes nothing else and returns the current
	// connection, if any.
	//   OK                 stored, c.Revokes queued and c.UsesUp used; a lease ends with it.
	//   AlreadyUsed        c.UsesUp was used before.
	//   SignedOut          c.Authentication does not hold any more.
	//   DisconnectedSince  it was disconnected after c.LastDisconnect.
	//   Changed            somebody changed or removed it since.
	ReplaceConnection(ctx context.Context, c ConnectionReplacement, now time.Time) (Connection, Verdict, error)
	// LeaseConnection lets one caller at a time refresh a connection that is
	// active or in doubt. The lease is durable before the caller sends anything.
	//   OK            the lease is the caller's until then; the connection is
	//                 returned with its next Revision, and if it is in doubt with
	//                 one more of its Retries.
	//   LeaseHeld     another caller holds a lease; the connection as it is.
	//   LeaseExpired  a lease ran out without a result: the connection is in doubt
	//                 from now on, committed, and returned so, with its next Revision.
	//   Changed       the ID or the Revision is not the one the caller decided on,
	//                 or the connection is in neither state; as it is.
	//   Unknown       no such connection.
	LeaseConnection(ctx context.Context, of Connection, holder string, until, now time.Time) (Connection, Verdict, error)
	// Disconnect removes a connection, if its ID and Revision are still the
	// stored ones, and every connect state for it, so that a late answer of its
	// provider cannot bring it back, nor, by LastDisconnect, one that is being
	// exchanged for tokens; and it queues the revocation of what it had, if there
	// is one, in the same transaction. A caller who found none gives its key.
	//   OK       removed.
	//   Unknown  there is none, or none any more; the rest is done all the same.
	//   Changed  somebody changed it since: nothing was changed, the current
	//            connection is returned.
	Disconnect(ctx context.Context, c Connection, queue *ProviderRevocation, now time.Time) (Connection, Verdict, error)
	// LastDisconnect tells the last Disconnect with the key from the ones before,
	// by a number that grows with each; 0 if there was none within DisconnectMemory.
	LastDisconnect(ctx context.Context, k ConnectionKey) (uint64, error)

	// SaveConnectState records that a person is sent to a provider.
	SaveConnectState(ctx context.Context, s ConnectState) error
	// ClaimConnectState hands out and removes a connect state, once.
	//   OK            this caller may exchange the code.
	//   WrongBrowser  nothing was changed.
	//   Unknown       no such state, it has expired, or it was claimed before.
	ClaimConnectState(ctx context.Context, state, browser Hash, now time.Time) (ConnectState, Verdict, error)

	// UpstreamClient returns our registration at a provider, or ErrNotFound.
	UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (UpstreamClient, error)
	// UpstreamClients returns all of an issuer's, by server and provider.
	UpstreamClients(ctx context.Context, issuer string, now time.Time) ([]UpstreamClient, error)
	// PutUpstreamClient stores it in place of the one whose Secret is replaces,
	// nil meaning that there is none. It answers OK, or Changed if somebody
	// changed, stored or removed it since: then nothing was changed.
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
}
