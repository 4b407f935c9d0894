package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// faultyConnections is a storage.ConnectionStore whose verbs fail on demand.
type faultyConnections struct {
	*faults
	store storage.ConnectionStore
}

func (fs *faultyConnections) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	return fault2(fs.faults, "Connection", func() (storage.Connection, error) { return fs.store.Connection(ctx, k, now) })
}

func (fs *faultyConnections) ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (storage.Connection, error) {
	return fault2(fs.faults, "ConnectionByID", func() (storage.Connection, error) { return fs.store.ConnectionByID(ctx, issuer, id, now) })
}

func (fs *faultyConnections) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	return fault2(fs.faults, "ConnectionsOf", func() ([]storage.Connection, error) { return fs.store.ConnectionsOf(ctx, issuer, owner, now) })
}

func (fs *faultyConnections) Connections(ctx context.Context, issuer, after string, limit int, now time.Time) ([]storage.Connection, string, error) {
	return fault3(fs.faults, "Connections", func() ([]storage.Connection, string, error) {
		return fs.store.Connections(ctx, issuer, after, limit, now)
	})
}

func (fs *faultyConnections) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	return fault3(fs.faults, "PutConnection", func() (storage.Connection, storage.Verdict, error) { return fs.store.PutConnection(ctx, c, now) })
}

func (fs *faultyConnections) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	return fault3(fs.faults, "ReplaceConnection", func() (storage.Connection, storage.Verdict, error) {
		return fs.store.ReplaceConnection(ctx, c, now)
	})
}

func (fs *faultyConnections) LeaseConnection(ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
	return fault3(fs.faults, "LeaseConnection", func() (storage.Connection, storage.Verdict, error) {
		return fs.store.LeaseConnection(ctx, of, holder, until, now)
	})
}

func (fs *faultyConnections) Disconnect(ctx context.Context, c storage.Connection, queue *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
	return fault3(fs.faults, "Disconnect", func() (storage.Connection, storage.Verdict, error) { return fs.store.Disconnect(ctx, c, queue, now) })
}

func (fs *faultyConnections) LastDisconnect(ctx context.Context, k storage.ConnectionKey) (uint64, error) {
	return fault2(fs.faults, "LastDisconnect", func() (uint64, error) { return fs.store.LastDisconnect(ctx, k) })
}

func (fs *faultyConnections) SaveConnectState(ctx context.Context, s storage.ConnectState) error {
	return fault1(fs.faults, "SaveConnectState", func() error { return fs.store.SaveConnectState(ctx, s) })
}

func (fs *faultyConnections) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	return fault3(fs.faults, "ClaimConnectState", func() (storage.ConnectState, storage.Verdict, error) {
		return fs.store.ClaimConnectState(ctx, state, browser, now)
	})
}

func (fs *faultyConnections) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	return fault2(fs.faults, "UpstreamClient", func() (storage.UpstreamClient, error) {
		return fs.store.UpstreamClient(ctx, issuer, provider, server, now)
	})
}

func (fs *faultyConnections) UpstreamClients(ctx context.Context, issuer string, now time.Time) ([]storage.UpstreamClient, error) {
	return fault2(fs.faults, "UpstreamClients", func() ([]storage.UpstreamClient, error) { return fs.store.UpstreamClients(ctx, issuer, now) })
}

func (fs *faultyConnections) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient, replaces []byte, now time.Time) (storage.Verdict, error) {
	return fault2(fs.faults, "PutUpstreamClient", func() (storage.Verdict, error) { return fs.store.PutUpstreamClient(ctx, c, replaces, now) })
}

func (fs *faultyConnections) DeleteUpstreamClient(ctx context.Context, c storage.UpstreamClient) error {
	return fault1(fs.faults, "DeleteUpstreamClient", func() error { return fs.store.DeleteUpstreamClient(ctx, c) })
}

func (fs *faultyConnections) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
	return fault2(fs.faults, "DueRevocations", func() ([]storage.ProviderRevocation, error) {
		return fs.store.DueRevocations(ctx, issuer, limit, now, retryAt)
	})
}

func (fs *faultyConnections) QueueRevocation(ctx context.Context, r storage.ProviderRevocation) error {
	return fault1(fs.faults, "QueueRevocation", func() error { return fs.store.QueueRevocation(ctx, r) })
}

func (fs *faultyConnections) EndRevocation(ctx context.Context, id string) error {
	return fault1(fs.faults, "EndRevocation", func() error { return fs.store.EndRevocation(ctx, id) })
}
