//go:build !race

package simulation_test

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// mutant is a store with one fault, in the verbs that are set.
type mutant struct {
	storage.Store
	claim      func(storage.Store, context.Context, storage.CodeClaim) (storage.CodeResult, error)
	rotate     func(storage.Store, context.Context, storage.Rotation) (storage.RotationResult, error)
	issue      func(storage.Store, context.Context, storage.ServiceGrant) (storage.Verdict, error)
	access     func(storage.Store, context.Context, storage.Hash, time.Time) (storage.AccessToken, error)
	submit     func(storage.Store, context.Context, storage.Submission) (storage.Verdict, error)
	register   func(storage.Store, context.Context, storage.Client, storage.Unused) error
	revoke     func(storage.Store, context.Context, string, time.Time) (storage.Revocation, error)
	lease      func(storage.Store, context.Context, storage.Connection, string, time.Time, time.Time) (storage.Connection, storage.Verdict, error)
	put        func(storage.Store, context.Context, storage.Connection, time.Time) (storage.Connection, storage.Verdict, error)
	replace    func(storage.Store, context.Context, storage.ConnectionReplacement, time.Time) (storage.Connection, storage.Verdict, error)
	disconnect func(storage.Store, context.Context, storage.Connection, *storage.ProviderRevocation, time.Time) (storage.Connection, storage.Verdict, error)
	due        func(storage.Store, context.Context, string, int, time.Time, time.Time) ([]storage.ProviderRevocation, error)
	siteValue  func(storage.Store, context.Context, storage.SiteValue) error
	key        func(storage.Store, context.Context, storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error)
	endPerson  func(storage.Store, context.Context, storage.PersonEnd) (storage.Revocation, storage.Verdict, error)
	login      func(storage.Store, context.Context, storage.PersonLogin, time.Time) (storage.Person, storage.Verdict, error)
	sweep      func(storage.Store, context.Context, time.Time) (int, error)
}

func (m *mutant) ClaimCode(ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
	if m.claim != nil {
		return m.claim(m.Store, ctx, c)
	}
	return m.Store.ClaimCode(ctx, c)
}

func (m *mutant) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	if m.rotate != nil {
		return m.rotate(m.Store, ctx, r)
	}
	return m.Store.RotateRefreshToken(ctx, r)
}

func (m *mutant) IssueGrant(ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
	if m.issue != nil {
		return m.issue(m.Store, ctx, g)
	}
	return m.Store.IssueGrant(ctx, g)
}

func (m *mutant) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	if m.access != nil {
		return m.access(m.Store, ctx, h, now)
	}
	return m.Store.AccessToken(ctx, h, now)
}

func (m *mutant) SubmitFlow(ctx context.Context, s storage.Submission) (storage.Verdict, error) {
	if m.submit != nil {
		return m.submit(m.Store, ctx, s)
	}
	return m.Store.SubmitFlow(ctx, s)
}

func (m *mutant) CreateClient(ctx context.Context, c storage.Client, u storage.Unused) error {
	if m.register != nil {
		return m.register(m.Store, ctx, c, u)
	}
	return m.Store.CreateClient(ctx, c, u)
}

func (m *mutant) RevokeGrant(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	if m.revoke != nil {
		return m.revoke(m.Store, ctx, id, now)
	}
	return m.Store.RevokeGrant(ctx, id, now)
}

func (m *mutant) LeaseConnection(ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
	if m.lease != nil {
		return m.lease(m.Store, ctx, of, holder, until, now)
	}
	return m.Store.LeaseConnection(ctx, of, holder, until, now)
}

func (m *mutant) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	if m.put != nil {
		return m.put(m.Store, ctx, c, now)
	}
	return m.Store.PutConnection(ctx, c, now)
}

func (m *mutant) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	if m.replace != nil {
		return m.replace(m.Store, ctx, c, now)
	}
	return m.Store.ReplaceConnection(ctx, c, now)
}

func (m *mutant) Disconnect(ctx context.Context, c storage.Connection, r *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
	if m.disconnect != nil {
		return m.disconnect(m.Store, ctx, c, r, now)
	}
	return m.Store.Disconnect(ctx, c, r, now)
}

func (m *mutant) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
	if m.due != nil {
		return m.due(m.Store, ctx, issuer, limit, now, retryAt)
	}
	return m.Store.DueRevocations(ctx, issuer, limit, now, retryAt)
}

func (m *mutant) PutSiteValue(ctx context.Context, v storage.SiteValue) error {
	if m.siteValue != nil {
		return m.siteValue(m.Store, ctx, v)
	}
	return m.Store.PutSiteValue(ctx, v)
}

func (m *mutant) PutVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error) {
	if m.key != nil {
		return m.key(m.Store, ctx, k)
	}
	return m.Store.PutVirtualKey(ctx, k)
}

func (m *mutant) EndPerson(ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
	if m.endPerson != nil {
		return m.endPerson(m.Store, ctx, e)
	}
	return m.Store.EndPerson(ctx, e)
}

func (m *mutant) SavePerson(ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
	if m.login != nil {
		return m.login(m.Store, ctx, l, now)
	}
	return m.Store.SavePerson(ctx, l, now)
}

func (m *mutant) Sweep(ctx context.Context, now time.Time) (int, error) {
	if m.sweep != nil {
		return m.sweep(m.Store, ctx, now)
	}
	return m.Store.Sweep(ctx, now)
}
