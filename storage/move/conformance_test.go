package move_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// A store that is moved to another place while verbs come answers as one that stays:
// what was issued, rotated, claimed, revoked, leased, disconnected, queued and used
// before a move is so after it, in either direction.
func TestStoreThatMoves(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storage.Store {
		if racing.MatchString(t.Name()) {
			return oauthtest.Closing(t, memstore.New(), nil) // who moves a store is alone with it: nothing is moved there
		}
		s := &moving{t: t, places: []place{places[0](t), places[len(places)-1](t)}, next: 3}
		if strings.Contains(t.Name(), "sequence") {
			s.every = 150
		}
		s.open()
		t.Cleanup(func() {
			if err := s.Store.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

// racing are the tests that call several verbs at a time.
var racing = regexp.MustCompile(`race|one_of_(several|many)|wins_over|callers?$`)

// moving is a store that moves before some of the verbs below: every so many of them,
// or more and more rarely.
type moving struct {
	storage.Store
	t      *testing.T
	places []place
	every  int
	calls  int
	next   int // the call before which it moves
}

func (s *moving) open() {
	s.t.Helper()
	var err error
	if s.Store, err = s.places[0].store(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *moving) step() storage.Store {
	s.t.Helper()
	if s.calls++; s.calls < s.next || s.Store.Check(context.Background()) != nil { // it was closed
		return s.Store
	}
	if s.next *= 3; s.every > 0 {
		s.next = s.calls + s.every
	}
	if err := s.Store.Close(); err != nil {
		s.t.Fatal(err)
	}
	m, end := begin(s.t, s.places[0], s.places[1])
	m.Discard = true
	_, err := m.Run(context.Background())
	if end(); err != nil {
		s.t.Fatal(err)
	}
	s.places[0], s.places[1] = s.places[1], s.places[0]
	s.open()
	return s.Store
}

var _ move.Place = place{}

func (s *moving) SaveFlow(ctx context.Context, f storage.Flow, now time.Time) (storage.Verdict, error) {
	return s.step().SaveFlow(ctx, f, now)
}

func (s *moving) SubmitFlow(ctx context.Context, sub storage.Submission) (storage.Verdict, error) {
	return s.step().SubmitFlow(ctx, sub)
}

func (s *moving) CreateClient(ctx context.Context, c storage.Client, unused storage.Unused) error {
	return s.step().CreateClient(ctx, c, unused)
}

func (s *moving) DeleteClient(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return s.step().DeleteClient(ctx, id, now)
}

func (s *moving) ClaimCode(ctx context.Context, c storage.CodeClaim) (storage.CodeResult, error) {
	return s.step().ClaimCode(ctx, c)
}

func (s *moving) RotateRefreshToken(ctx context.Context, r storage.Rotation) (storage.RotationResult, error) {
	return s.step().RotateRefreshToken(ctx, r)
}

func (s *moving) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	return s.step().AccessToken(ctx, h, now)
}

func (s *moving) ChangeGrant(ctx context.Context, c storage.GrantChange) (storage.Revocation, error) {
	return s.step().ChangeGrant(ctx, c)
}

func (s *moving) RevokeGrant(ctx context.Context, id string, now time.Time) (storage.Revocation, error) {
	return s.step().RevokeGrant(ctx, id, now)
}

func (s *moving) GrantsOf(ctx context.Context, issuer, subject string, now time.Time) ([]storage.Grant, error) {
	return s.step().GrantsOf(ctx, issuer, subject, now)
}

func (s *moving) LastGrant(ctx context.Context, issuer, subject, clientID string, now time.Time) (storage.Grant, error) {
	return s.step().LastGrant(ctx, issuer, subject, clientID, now)
}

func (s *moving) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return s.step().UseOnce(ctx, h, expiresAt, now)
}

func (s *moving) SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error) {
	return s.step().SiteValue(ctx, issuer, name, now)
}

func (s *moving) CreateBrowserSession(ctx context.Context, b storage.SignIn) error {
	return s.step().CreateBrowserSession(ctx, b)
}

func (s *moving) BrowserSession(ctx context.Context, h storage.Hash, now time.Time) (storage.BrowserSession, error) {
	return s.step().BrowserSession(ctx, h, now)
}

func (s *moving) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.step().ReplaceConnection(ctx, c, now)
}

func (s *moving) LeaseConnection(ctx context.Context, of storage.Connection, holder string, until, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.step().LeaseConnection(ctx, of, holder, until, now)
}

func (s *moving) Disconnect(ctx context.Context, c storage.Connection, queue *storage.ProviderRevocation, now time.Time) (storage.Connection, storage.Verdict, error) {
	return s.step().Disconnect(ctx, c, queue, now)
}

func (s *moving) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	return s.step().ClaimConnectState(ctx, state, browser, now)
}

func (s *moving) DueRevocations(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.ProviderRevocation, error) {
	return s.step().DueRevocations(ctx, issuer, limit, now, retryAt)
}

func (s *moving) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	return s.step().UpstreamClient(ctx, issuer, provider, server, now)
}

func (s *moving) PutVirtualKey(ctx context.Context, k storage.VirtualKey) (storage.VirtualKey, storage.Verdict, error) {
	return s.step().PutVirtualKey(ctx, k)
}

func (s *moving) SavePerson(ctx context.Context, l storage.PersonLogin, now time.Time) (storage.Person, storage.Verdict, error) {
	return s.step().SavePerson(ctx, l, now)
}

func (s *moving) DuePersons(ctx context.Context, issuer string, limit int, now, retryAt time.Time) ([]storage.Person, error) {
	return s.step().DuePersons(ctx, issuer, limit, now, retryAt)
}

func (s *moving) Sweep(ctx context.Context, now time.Time) (int, error) {
	return s.step().Sweep(ctx, now)
}
