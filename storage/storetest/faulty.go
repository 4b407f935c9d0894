package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// ErrDisk is what a verb of a Faulty store fails with.
var ErrDisk = errors.New("the disk is on fire")

// Faulty is a store whose verbs fail on demand, and which remembers those that
// were called. It is for tests of what a failure leads to.
type Faulty struct {
	storage.Store

	mu     sync.Mutex
	fails  string
	called []string
}

// Fail makes one verb fail from now on; none if it is empty.
func (fs *Faulty) Fail(verb string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.fails = verb
}

// Called returns the verbs that were called since it was last asked.
func (fs *Faulty) Called() []string {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	called := fs.called
	fs.called = nil
	return called
}

func (fs *Faulty) call(verb string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.called = append(fs.called, verb)
	if fs.fails == verb {
		return ErrDisk
	}
	return nil
}

func (fs *Faulty) CreateClient(ctx context.Context, c storage.Client, unused storage.Unused) error {
	if err := fs.call("CreateClient"); err != nil {
		return err
	}
	return fs.Store.CreateClient(ctx, c, unused)
}

func (fs *Faulty) Client(ctx context.Context, id string, now time.Time) (_ storage.Client, err error) {
	if err = fs.call("Client"); err != nil {
		return
	}
	return fs.Store.Client(ctx, id, now)
}

func (fs *Faulty) UpdateClient(ctx context.Context, c storage.Client, oldToken storage.Hash, revokeGrants bool, now time.Time) (_ storage.Revocation, err error) {
	if err = fs.call("UpdateClient"); err != nil {
		return
	}
	return fs.Store.UpdateClient(ctx, c, oldToken, revokeGrants, now)
}

func (fs *Faulty) DeleteClient(ctx context.Context, id string, now time.Time) (_ storage.Revocation, err error) {
	if err = fs.call("DeleteClient"); err != nil {
		return
	}
	return fs.Store.DeleteClient(ctx, id, now)
}

func (fs *Faulty) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (_ storage.Verdict, err error) {
	if err = fs.call("SaveFlow"); err != nil {
		return
	}
	return fs.Store.SaveFlow(ctx, f, now)
}

func (fs *Faulty) Flow(ctx context.Context, id string, now time.Time) (_ storage.Flow, err error) {
	if err = fs.call("Flow"); err != nil {
		return
	}
	return fs.Store.Flow(ctx, id, now)
}

func (fs *Faulty) SubmitFlow(ctx context.Context, s storage.Submission) (_ storage.Verdict, err error) {
	if err = fs.call("SubmitFlow"); err != nil {
		return
	}
	return fs.Store.SubmitFlow(ctx, s)
}

func (fs *Faulty) Code(ctx context.Context, h storage.Hash, now time.Time) (_ storage.Code, err error) {
	if err = fs.call("Code"); err != nil {
		return
	}
	return fs.Store.Code(ctx, h, now)
}

func (fs *Faulty) ClaimCode(ctx context.Context, c storage.CodeClaim) (_ storage.CodeResult, err error) {
	if err = fs.call("ClaimCode"); err != nil {
		return
	}
	return fs.Store.ClaimCode(ctx, c)
}

func (fs *Faulty) RefreshToken(ctx context.Context, h storage.Hash, now time.Time) (_ storage.RefreshToken, _ storage.Grant, err error) {
	if err = fs.call("RefreshToken"); err != nil {
		return
	}
	return fs.Store.RefreshToken(ctx, h, now)
}

func (fs *Faulty) RotateRefreshToken(ctx context.Context, r storage.Rotation) (_ storage.RotationResult, err error) {
	if err = fs.call("RotateRefreshToken"); err != nil {
		return
	}
	return fs.Store.RotateRefreshToken(ctx, r)
}

func (fs *Faulty) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (_ storage.AccessToken, err error) {
	if err = fs.call("AccessToken"); err != nil {
		return
	}
	return fs.Store.AccessToken(ctx, h, now)
}

func (fs *Faulty) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string) (_ bool, err error) {
	if err = fs.call("RevokeAccessToken"); err != nil {
		return
	}
	return fs.Store.RevokeAccessToken(ctx, h, issuer, clientID)
}

func (fs *Faulty) RevokeGrant(ctx context.Context, id string, now time.Time) (_ storage.Revocation, err error) {
	if err = fs.call("RevokeGrant"); err != nil {
		return
	}
	return fs.Store.RevokeGrant(ctx, id, now)
}

func (fs *Faulty) Grant(ctx context.Context, id string, now time.Time) (_ storage.Grant, err error) {
	if err = fs.call("Grant"); err != nil {
		return
	}
	return fs.Store.Grant(ctx, id, now)
}

func (fs *Faulty) Grants(ctx context.Context, after string, limit int, now time.Time) (_ []storage.Grant, _ string, err error) {
	if err = fs.call("Grants"); err != nil {
		return
	}
	return fs.Store.Grants(ctx, after, limit, now)
}

func (fs *Faulty) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (_ bool, err error) {
	if err = fs.call("UseOnce"); err != nil {
		return
	}
	return fs.Store.UseOnce(ctx, h, expiresAt, now)
}

func (fs *Faulty) Used(ctx context.Context, h storage.Hash, now time.Time) (_ bool, err error) {
	if err = fs.call("Used"); err != nil {
		return
	}
	return fs.Store.Used(ctx, h, now)
}

func (fs *Faulty) PutSiteValue(ctx context.Context, m storage.SiteValue) error {
	if err := fs.call("PutSiteValue"); err != nil {
		return err
	}
	return fs.Store.PutSiteValue(ctx, m)
}

func (fs *Faulty) SiteValue(ctx context.Context, issuer, name string, now time.Time) (_ storage.SiteValue, err error) {
	if err = fs.call("SiteValue"); err != nil {
		return
	}
	return fs.Store.SiteValue(ctx, issuer, name, now)
}

func (fs *Faulty) Sweep(ctx context.Context, now time.Time) (_ int, err error) {
	if err = fs.call("Sweep"); err != nil {
		return
	}
	return fs.Store.Sweep(ctx, now)
}
