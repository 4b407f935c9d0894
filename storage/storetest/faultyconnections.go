package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (fs *Faulty) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (_ storage.Connection, err error) {
	if err = fs.call("Connection"); err != nil {
		return
	}
	return fs.Store.Connection(ctx, k, now)
}

func (fs *Faulty) ConnectionByID(ctx context.Context, issuer, id string, now time.Time) (_ storage.Connection, err error) {
	if err = fs.call("ConnectionByID"); err != nil {
		return
	}
	return fs.Store.ConnectionByID(ctx, issuer, id, now)
}

func (fs *Faulty) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) (_ []storage.Connection, err error) {
	if err = fs.call("ConnectionsOf"); err != nil {
		return
	}
	return fs.Store.ConnectionsOf(ctx, issuer, owner, now)
}

func (fs *Faulty) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (_ storage.Connection, _ storage.Verdict, err error) {
	if err = fs.call("PutConnection"); err != nil {
		return
	}
	return fs.Store.PutConnection(ctx, c, now)
}

func (fs *Faulty) LeaseConnection(ctx context.Context, k storage.ConnectionKey, revision uint64, holder string, until, now time.Time) (_ storage.Connection, _ storage.Verdict, err error) {
	if err = fs.call("LeaseConnection"); err != nil {
		return
	}
	return fs.Store.LeaseConnection(ctx, k, revision, holder, until, now)
}

func (fs *Faulty) Disconnect(ctx context.Context, c storage.Connection, queue *storage.ProviderRevocation, now time.Time) (_ storage.Connection, _ storage.Verdict, err error) {
	if err = fs.call("Disconnect"); err != nil {
		return
	}
	return fs.Store.Disconnect(ctx, c, queue, now)
}

func (fs *Faulty) LastDisconnect(ctx context.Context, k storage.ConnectionKey) (_ uint64, err error) {
	if err = fs.call("LastDisconnect"); err != nil {
		return
	}
	return fs.Store.LastDisconnect(ctx, k)
}

func (fs *Faulty) SaveConnectState(ctx context.Context, s storage.ConnectState) error {
	if err := fs.call("SaveConnectState"); err != nil {
		return err
	}
	return fs.Store.SaveConnectState(ctx, s)
}

func (fs *Faulty) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (_ storage.ConnectState, _ storage.Verdict, err error) {
	if err = fs.call("ClaimConnectState"); err != nil {
		return
	}
	return fs.Store.ClaimConnectState(ctx, state, browser, now)
}

func (fs *Faulty) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (_ storage.UpstreamClient, err error) {
	if err = fs.call("UpstreamClient"); err != nil {
		return
	}
	return fs.Store.UpstreamClient(ctx, issuer, provider, server, now)
}

func (fs *Faulty) UpstreamClients(ctx context.Context, issuer string, now time.Time) (_ []storage.UpstreamClient, err error) {
	if err = fs.call("UpstreamClients"); err != nil {
		return
	}
	return fs.Store.UpstreamClients(ctx, issuer, now)
}

func (fs *Faulty) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient, replaces []byte, now time.Time) (_ storage.Verdict, err error) {
	if err = fs.call("PutUpstreamClient"); err != nil {
		return
	}
	return fs.Store.PutUpstreamClient(ctx, c, replaces, now)
}

func (fs *Faulty) DeleteUpstreamClient(ctx context.Context, c storage.UpstreamClient) error {
	if err := fs.call("DeleteUpstreamClient"); err != nil {
		return err
	}
	return fs.Store.DeleteUpstreamClient(ctx, c)
}

func (fs *Faulty) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) (_ []storage.ProviderRevocation, err error) {
	if err = fs.call("DueRevocations"); err != nil {
		return
	}
	return fs.Store.DueRevocations(ctx, issuer, limit, now, retryAt)
}

func (fs *Faulty) QueueRevocation(ctx context.Context, r storage.ProviderRevocation) error {
	if err := fs.call("QueueRevocation"); err != nil {
		return err
	}
	return fs.Store.QueueRevocation(ctx, r)
}

func (fs *Faulty) EndRevocation(ctx context.Context, id string) error {
	if err := fs.call("EndRevocation"); err != nil {
		return err
	}
	return fs.Store.EndRevocation(ctx, id)
}

func (fs *Faulty) GrantsOf(ctx context.Context, issuer, subject string, now time.Time) (_ []storage.Grant, err error) {
	if err = fs.call("GrantsOf"); err != nil {
		return
	}
	return fs.Store.GrantsOf(ctx, issuer, subject, now)
}

func (fs *Faulty) CreateBrowserSession(ctx context.Context, s storage.BrowserSession) error {
	if err := fs.call("CreateBrowserSession"); err != nil {
		return err
	}
	return fs.Store.CreateBrowserSession(ctx, s)
}

func (fs *Faulty) BrowserSession(ctx context.Context, h storage.Hash, now time.Time) (_ storage.BrowserSession, err error) {
	if err = fs.call("BrowserSession"); err != nil {
		return
	}
	return fs.Store.BrowserSession(ctx, h, now)
}

func (fs *Faulty) DeleteBrowserSession(ctx context.Context, h storage.Hash, flows []storage.Hash, now time.Time) error {
	if err := fs.call("DeleteBrowserSession"); err != nil {
		return err
	}
	return fs.Store.DeleteBrowserSession(ctx, h, flows, now)
}

func (fs *Faulty) DeleteBrowserSessions(ctx context.Context, issuer, subject string) error {
	if err := fs.call("DeleteBrowserSessions"); err != nil {
		return err
	}
	return fs.Store.DeleteBrowserSessions(ctx, issuer, subject)
}

func (fs *Faulty) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
	if err := fs.call("EndFlows"); err != nil {
		return err
	}
	return fs.Store.EndFlows(ctx, issuer, subject, now)
}
