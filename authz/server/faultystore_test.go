package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

var errDisk = errors.New("the disk is on fire")

// faultyStore fails the verbs that the test says, before they do anything or
// after, and counts those that write.
type faultyStore struct {
	storage.Store
	before, after atomic.Pointer[string] // name of the verb that fails; "*" is all
	writes        atomic.Int64
	away          atomic.Bool
	ahead         atomic.Int64 // of its clock, in nanoseconds
}

// Ahead implements storage.Clock. What goes through is not translated.
func (s *faultyStore) Ahead() time.Duration { return time.Duration(s.ahead.Load()) }

// gone runs f while the store cannot be reached.
func (s *faultyStore) gone(f func()) {
	s.away.Store(true)
	defer s.away.Store(false)
	f()
}

// failing runs f while the verb fails.
func (s *faultyStore) failing(verb string, f func()) {
	s.before.Store(&verb)
	defer s.before.Store(nil)
	f()
}

// losing runs f while the verb does its work and then reports a failure, like
// a commit whose confirmation was lost.
func (s *faultyStore) losing(verb string, f func()) {
	s.after.Store(&verb)
	defer s.after.Store(nil)
	f()
}

func read[T any](s *faultyStore, verb string, do func() (T, error)) (T, error) {
	var none T
	if s.away.Load() {
		return none, errAway
	}
	if p := s.before.Load(); p != nil && (*p == verb || *p == "*") {
		return none, errDisk
	}
	v, err := do()
	if p := s.after.Load(); p != nil && *p == verb {
		return none, errDisk
	}
	return v, err
}

func write[T any](s *faultyStore, verb string, do func() (T, error)) (T, error) {
	s.writes.Add(1)
	return read(s, verb, do)
}

func (s *faultyStore) Client(ctx context.Context, id string, now time.Time) (storage.Client, error) {
	return read(s, "Client", func() (storage.Client, error) { return s.Store.Client(ctx, id, now) })
}

func (s *faultyStore) Flow(ctx context.Context, id string, now time.Time) (storage.Flow, error) {
	return read(s, "Flow", func() (storage.Flow, error) { return s.Store.Flow(ctx, id, now) })
}

func (s *faultyStore) Code(ctx context.Context, h storage.Hash, now time.Time) (storage.Code, error) {
	return read(s, "Code", func() (storage.Code, error) { return s.Store.Code(ctx, h, now) })
}

func (s *faultyStore) Grant(ctx context.Context, id string, now time.Time) (storage.Grant, error) {
	return read(s, "Grant", func() (storage.Grant, error) { return s.Store.Grant(ctx, id, now) })
}

func (s *faultyStore) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	return read(s, "AccessToken", func() (storage.AccessToken, error) { return s.Store.AccessToken(ctx, h, now) })
}

func (s *faultyStore) RefreshToken(ctx context.Context, h storage.Hash, now time.Time) (storage.RefreshToken, storage.Grant, error) {
	type both struct {
		t storage.RefreshToken
		g storage.Grant
	}
	v, err := read(s, "RefreshToken", func() (both, error) {
		t, g, err := s.Store.RefreshToken(ctx, h, now)
		return both{t, g}, err
	})
	return v.t, v.g, err
}

func (s *faultyStore) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return write(s, "SaveFlow", func() (storage.Verdict, error) { return s.Store.SaveFlow(ctx, f, now) })
}

func (s *faultyStore) SubmitFlow(ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
	return write(s, "SubmitFlow", func() (storage.Verdict, error) { return s.Store.SubmitFlow(ctx, sub) })
}

func (s *faultyStore) ClaimCode(ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
	return write(s, "ClaimCode", func() (storage.CodeResult, error) { return s.Store.ClaimCode(ctx, c) })
}

func (s *faultyStore) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	return write(s, "RotateRefreshToken", func() (storage.RotationResult, error) { return s.Store.RotateRefreshToken(ctx, r) })
}

func (s *faultyStore) RevokeGrant(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return write(s, "RevokeGrant", func() (storage.Revocation, error) { return s.Store.RevokeGrant(ctx, id, now) })
}

func (s *faultyStore) IssueGrant(ctx context.Context, g storage.ServiceGrant) (storage.Verdict, error) {
	return write(s, "IssueGrant", func() (storage.Verdict, error) { return s.Store.IssueGrant(ctx, g) })
}

func (s *faultyStore) RevokeAccessToken(ctx context.Context, h storage.Hash, issuer, clientID string, now time.Time) (bool, error) {
	return write(s, "RevokeAccessToken", func() (bool, error) { return s.Store.RevokeAccessToken(ctx, h, issuer, clientID, now) })
}

func (s *faultyStore) CreateBrowserSession(ctx context.Context, b storage.SignIn) error {
	_, err := write(s, "CreateBrowserSession", func() (struct{}, error) { return struct{}{}, s.Store.CreateBrowserSession(ctx, b) })
	return err
}

func (s *faultyStore) DeleteBrowserSession(ctx context.Context, h storage.Hash, flows []storage.Hash, now time.Time) error {
	_, err := write(s, "DeleteBrowserSession", func() (struct{}, error) { return struct{}{}, s.Store.DeleteBrowserSession(ctx, h, flows, now) })
	return err
}

func (s *faultyStore) PutSiteValue(ctx context.Context, m storage.SiteValue) error {
	_, err := write(s, "PutSiteValue", func() (struct{}, error) { return struct{}{}, s.Store.PutSiteValue(ctx, m) })
	return err
}

func (s *faultyStore) ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	return write(s, "ReplaceSiteValue", func() (storage.Verdict, error) { return s.Store.ReplaceSiteValue(ctx, v, replaces, now) })
}

func (s *faultyStore) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	return read(s, "SiteValue", func() (storage.SiteValue, error) { return s.Store.SiteValue(ctx, issuer, name, now) })
}

func (s *faultyStore) Grants(ctx context.Context, after string, limit int, now time.Time) (grants []storage.Grant, next string, err error) {
	grants, err = read(s, "Grants", func() ([]storage.Grant, error) {
		grants, n, err := s.Store.Grants(ctx, after, limit, now)
		next = n
		return grants, err
	})
	return grants, next, err
}

func (s *faultyStore) Person(ctx context.Context, issuer, subject string, now time.Time) (storage.Person, error) {
	return read(s, "Person", func() (storage.Person, error) { return s.Store.Person(ctx, issuer, subject, now) })
}

func (s *faultyStore) SavePerson(ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
	verdict := storage.Unknown
	saved, err := write(s, "SavePerson", func() (saved storage.Person, err error) {
		saved, verdict, err = s.Store.SavePerson(ctx, l, now)
		return saved, err
	})
	return saved, verdict, err
}

func (s *faultyStore) EndPerson(ctx context.Context, e storage.PersonEnd) (storage.Revocation, storage.Verdict, error) {
	verdict := storage.Unknown
	revocation, err := write(s, "EndPerson", func() (revocation storage.Revocation, err error) {
		revocation, verdict, err = s.Store.EndPerson(ctx, e)
		return revocation, err
	})
	return revocation, verdict, err
}
