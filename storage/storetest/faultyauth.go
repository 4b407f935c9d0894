package storetest

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// faultyAuth is a storage.AuthStore whose verbs fail on demand.
type faultyAuth struct {
	*faults
	store storage.AuthStore
}

func (fs *faultyAuth) CreateClient(ctx context.Context, c storage.Client, unused storage.Unused) error {
	return fault1(fs.faults, "CreateClient", func() error { return fs.store.CreateClient(ctx, c, unused) })
}

func (fs *faultyAuth) Client(ctx context.Context, id string, now time.Time) (storage.Client, error) {
	return fault2(fs.faults, "Client", func() (storage.Client, error) { return fs.store.Client(ctx, id, now) })
}

func (fs *faultyAuth) UpdateClient(ctx context.Context, c storage.Client, oldToken storage.Hash, revokeGrants bool, now time.Time) (storage.Revocation, error) {
	return fault2(fs.faults, "UpdateClient", func() (storage.Revocation, error) { return fs.store.UpdateClient(ctx, c, oldToken, revokeGrants, now) })
}

func (fs *faultyAuth) DeleteClient(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return fault2(fs.faults, "DeleteClient", func() (storage.Revocation, error) { return fs.store.DeleteClient(ctx, id, now) })
}

func (fs *faultyAuth) Clients(ctx context.Context, after string, limit int, now time.Time) ([]storage.Client, string, error) {
	return fault3(fs.faults, "Clients", func() ([]storage.Client, string, error) { return fs.store.Clients(ctx, after, limit, now) })
}

func (fs *faultyAuth) GrantsOfClient(ctx context.Context, issuer, clientID, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	return fault3(fs.faults, "GrantsOfClient", func() ([]storage.Grant, string, error) {
		return fs.store.GrantsOfClient(ctx, issuer, clientID, after, limit, now)
	})
}

func (fs *faultyAuth) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return fault2(fs.faults, "SaveFlow", func() (storage.Verdict, error) { return fs.store.SaveFlow(ctx, f, now) })
}

func (fs *faultyAuth) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	return fault2(fs.faults, "Flow", func() (storage.Flow, error) { return fs.store.Flow(ctx, id, now) })
}

func (fs *faultyAuth) SubmitFlow(ctx context.Context, s storage.Submission) (storage.Verdict, error) {
	return fault2(fs.faults, "SubmitFlow", func() (storage.Verdict, error) { return fs.store.SubmitFlow(ctx, s) })
}

func (fs *faultyAuth) EndFlows(ctx context.Context, issuer, subject string, now time.Time) error {
	return fault1(fs.faults, "EndFlows", func() error { return fs.store.EndFlows(ctx, issuer, subject, now) })
}

func (fs *faultyAuth) Code(ctx context.Context, h storage.Hash, now time.Time) (storage.Code, error) {
	return fault2(fs.faults, "Code", func() (storage.Code, error) { return fs.store.Code(ctx, h, now) })
}

func (fs *faultyAuth) ClaimCode(ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
	return fault2(fs.faults, "ClaimCode", func() (storage.CodeResult, error) { return fs.store.ClaimCode(ctx, c) })
}

func (fs *faultyAuth) RefreshToken(ctx context.Context, h storage.Hash, now time.Time) (storage.RefreshToken, storage.Grant, error) {
	return fault3(fs.faults, "RefreshToken", func() (storage.RefreshToken, storage.Grant, error) { return fs.store.RefreshToken(ctx, h, now) })
}

func (fs *faultyAuth) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	return fault2(fs.faults, "RotateRefreshToken", func() (storage.RotationResult, error) { return fs.store.RotateRefreshToken(ctx, r) })
}

func (fs *faultyAuth) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	return fault2(fs.faults, "AccessToken", func() (storage.AccessToken, error) { return fs.store.AccessToken(ctx, h, now) })
}

func (fs *faultyAuth) IssueGrant(ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
	return fault2(fs.faults, "IssueGrant", func() (storage.Verdict, error) { return fs.store.IssueGrant(ctx, g) })
}

func (fs *faultyAuth) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string, now time.Time) (bool, error) {
	return fault2(fs.faults, "RevokeAccessToken", func() (bool, error) { return fs.store.RevokeAccessToken(ctx, h, issuer, clientID, now) })
}

func (fs *faultyAuth) Grant(ctx context.Context, id string, now time.Time) (storage.Grant, error) {
	return fault2(fs.faults, "Grant", func() (storage.Grant, error) { return fs.store.Grant(ctx, id, now) })
}

func (fs *faultyAuth) Grants(ctx context.Context, after string, limit int, now time.Time) ([]storage.Grant, string, error) {
	return fault3(fs.faults, "Grants", func() ([]storage.Grant, string, error) { return fs.store.Grants(ctx, after, limit, now) })
}

func (fs *faultyAuth) GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.Grant, error) {
	return fault2(fs.faults, "GrantsOf", func() ([]storage.Grant, error) { return fs.store.GrantsOf(ctx, issuer, subject, now) })
}

func (fs *faultyAuth) LastGrant(ctx context.Context, issuer, subject, clientID string, now time.Time) (storage.Grant, error) {
	return fault2(fs.faults, "LastGrant", func() (storage.Grant, error) { return fs.store.LastGrant(ctx, issuer, subject, clientID, now) })
}

func (fs *faultyAuth) RevokeGrant(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return fault2(fs.faults, "RevokeGrant", func() (storage.Revocation, error) { return fs.store.RevokeGrant(ctx, id, now) })
}

func (fs *faultyAuth) ChangeGrant(ctx context.Context, c storage.GrantChange) (storage.Revocation, error) {
	return fault2(fs.faults, "ChangeGrant", func() (storage.Revocation, error) { return fs.store.ChangeGrant(ctx, c) })
}

func (fs *faultyAuth) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return fault2(fs.faults, "UseOnce", func() (bool, error) { return fs.store.UseOnce(ctx, h, expiresAt, now) })
}

func (fs *faultyAuth) Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error) {
	return fault2(fs.faults, "Used", func() (bool, error) { return fs.store.Used(ctx, h, now) })
}

func (fs *faultyAuth) PutSiteValue(ctx context.Context, v storage.SiteValue) error {
	return fault1(fs.faults, "PutSiteValue", func() error { return fs.store.PutSiteValue(ctx, v) })
}

func (fs *faultyAuth) ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	return fault2(fs.faults, "ReplaceSiteValue", func() (storage.Verdict, error) { return fs.store.ReplaceSiteValue(ctx, v, replaces, now) })
}

func (fs *faultyAuth) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	return fault2(fs.faults, "SiteValue", func() (storage.SiteValue, error) { return fs.store.SiteValue(ctx, issuer, name, now) })
}
