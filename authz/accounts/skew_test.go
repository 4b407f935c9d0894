package accounts

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// skewedStore is what a process whose clock is wrong has of a store with a clock of
// its own: it gives and gets times of its own clock.
type skewedStore struct {
	storage.Store
	ahead time.Duration // of the store's clock
}

func (s *skewedStore) Ahead() time.Duration { return s.ahead }

func (s *skewedStore) in(t time.Time) time.Time  { return shift(t, s.ahead) }
func (s *skewedStore) out(t time.Time) time.Time { return shift(t, -s.ahead) }

func shiftConnection(c storage.Connection, by func(time.Time) time.Time) storage.Connection {
	for _, t := range []*time.Time{&c.TokenExpiresAt, &c.CreatedAt, &c.UpdatedAt, &c.ExpiresAt, &c.LeaseUntil, &c.RefusedSince} {
		*t = by(*t)
	}
	return c
}

func (s *skewedStore) Connection(ctx context.Context, k storage.ConnectionKey, now time.Time) (storage.Connection, error) {
	c, err := s.Store.Connection(ctx, k, s.in(now))
	return shiftConnection(c, s.out), err
}

func (s *skewedStore) ConnectionsOf(ctx context.Context, issuer, owner string, now time.Time) ([]storage.Connection, error) {
	all, err := s.Store.ConnectionsOf(ctx, issuer, owner, s.in(now))
	for i, c := range all {
		all[i] = shiftConnection(c, s.out)
	}
	return all, err
}

func (s *skewedStore) PutConnection(ctx context.Context, c storage.Connection, now time.Time) (storage.Connection, storage.Verdict, error) {
	got, v, err := s.Store.PutConnection(ctx, shiftConnection(c, s.in), s.in(now))
	return shiftConnection(got, s.out), v, err
}

func (s *skewedStore) ReplaceConnection(ctx context.Context, c storage.ConnectionReplacement, now time.Time) (storage.Connection, storage.Verdict, error) {
	c.Connection = shiftConnection(c.Connection, s.in)
	got, v, err := s.Store.ReplaceConnection(ctx, c, s.in(now))
	return shiftConnection(got, s.out), v, err
}

func (s *skewedStore) SaveConnectState(ctx context.Context, state storage.ConnectState) error {
	state.ExpiresAt = s.in(state.ExpiresAt)
	return s.Store.SaveConnectState(ctx, state)
}

func (s *skewedStore) ClaimConnectState(ctx context.Context, state, browser storage.Hash, now time.Time) (storage.ConnectState, storage.Verdict, error) {
	got, v, err := s.Store.ClaimConnectState(ctx, state, browser, s.in(now))
	got.ExpiresAt = s.out(got.ExpiresAt)
	return got, v, err
}

func (s *skewedStore) UpstreamClient(ctx context.Context, issuer, provider, server string, now time.Time) (storage.UpstreamClient, error) {
	c, err := s.Store.UpstreamClient(ctx, issuer, provider, server, s.in(now))
	c.CreatedAt, c.ExpiresAt = s.out(c.CreatedAt), s.out(c.ExpiresAt)
	return c, err
}

func (s *skewedStore) PutUpstreamClient(ctx context.Context, c storage.UpstreamClient, replaces []byte, now time.Time) (storage.Verdict, error) {
	c.CreatedAt, c.ExpiresAt = s.in(c.CreatedAt), s.in(c.ExpiresAt)
	return s.Store.PutUpstreamClient(ctx, c, replaces, s.in(now))
}

// skewed are the clocks of three processes, as they are ahead of the store's.
var skewed = []time.Duration{0, 10 * time.Minute, -10 * time.Minute}

// process is another on the store, with a clock of its own.
func (g *gateway) process(ahead time.Duration) *gateway {
	clock := g.clock
	deps := g.newDeps(egress.New(egress.Options{Loopback: true}))
	deps.Store, deps.Now = &skewedStore{g.store, -ahead}, func() time.Time { return clock.Now().Add(ahead) }
	other := *g
	other.Broker = New(g.cfg, deps)
	g.t.Cleanup(deps.Shared.Close)
	return &other
}

// M09: what a person connects in a flow ends with the flow, however far the clocks
// are apart of who sends them to the provider, who gets the answer, and who adopts it.
// It was gone when it was made, and the call that came with the person's fresh token
// ended their grant.
func TestConnectedBetweenClocks_M09(t *testing.T) {
	for _, begins := range skewed {
		for _, ends := range skewed {
			t.Run(fmt.Sprint(begins, " to ", ends), func(t *testing.T) {
				g := newGateway(t)
				begin, end := g.process(begins), g.process(ends)
				until := g.clock.Now().Add(5 * time.Minute) // by the store's clock
				req := g.request()
				req.Owner, req.KeepUntil = storage.FlowOwner("f1"), until.Add(begins)
				req.Authentication = g.inFlow("f1", storage.Identity{Kind: "user_id", Subject: testOwner})
				if _, err := end.Finish(t.Context(), g.answerTo(begin.start(req))); err != nil {
					t.Fatal(err)
				}
				c, err := g.store.Connection(t.Context(), g.key(req.Owner, g.cfg.Servers[0]), g.clock.Now())
				if err != nil || !c.ExpiresAt.Equal(until) {
					t.Errorf("the connection ends at %v, %v; want %v", c.ExpiresAt, err, until)
				}
				if c.OnExpiry != nil {
					t.Errorf("the provider has no way to revoke, got %+v", c.OnExpiry)
				}
				for _, adopts := range skewed {
					if made, err := g.process(adopts).Adopt(t.Context(), "f1", testOwner); err != nil || len(made) != 1 {
						t.Errorf("%v ahead, %d connections are adopted, %v; want 1", adopts, len(made), err)
					}
				}
			})
		}
	}
}

// M09: a token is refreshed a minute before its end, not before and not later, by
// whichever process has a call then; without an end, an hour after it came.
func TestDueBetweenClocks_M09(t *testing.T) {
	for _, tt := range []struct {
		name      string
		expiresIn any
		fresh     time.Duration // after it came
		due       time.Duration
	}{
		{"an hour", 3600, 58 * time.Minute, 59 * time.Minute},
		{"ten seconds", 10, 7 * time.Second, 8 * time.Second},
		{"no end", nil, 59 * time.Minute, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, made := range skewed {
				g := newGateway(t)
				g.provider.Page("/token", oauthtest.Document(oauthtest.With(
					oauthtest.Object{"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1"}, "expires_in", tt.expiresIn)))
				g.process(made).connect()
				for _, called := range skewed {
					at := g.process(called)
					c, err := at.deps.Store.Connection(t.Context(), at.key(testOwner, g.cfg.Servers[0]), at.deps.Now())
					if err != nil {
						t.Fatal(err)
					}
					h, _, err := at.decrypt(g.cfg.Servers[0], c)
					if err != nil {
						t.Fatal(err)
					}
					now := at.deps.Now()
					if h.due(now.Add(tt.fresh)) || !h.due(now.Add(tt.due)) {
						t.Errorf("made %v ahead, called %v ahead: due at %v, want between %v and %v", made, called, h.dueAt, now.Add(tt.fresh), now.Add(tt.due))
					}
				}
			}
		})
	}
}

// A grant ends when its account works no more. That is not decided on what was read
// before the person connected again, at another process whose notification is late.
func TestLostIsReadAnew_M09(t *testing.T) {
	v := newVault(t)
	other := v.instance()
	v.connectAs(alice, "notion", withoutRefresh)
	v.clock.Advance(2 * time.Hour)
	v.wantCall(alice, "notion", "", ErrNeedsReauth)
	v.wantCall(alice, "notion", "", ErrNeedsReauth)
	token := other.connectAs(alice, "notion")
	v.wantCall(alice, "notion", token, nil)
}

// What is cached as lost says nothing while nobody can be asked.
func TestLostWhileAway_M09(t *testing.T) {
	v := newVault(t)
	v.connectAs(alice, "notion", withoutRefresh)
	v.clock.Advance(2 * time.Hour)
	v.wantCall(alice, "notion", "", ErrNeedsReauth)
	v.store.mu.Lock()
	v.store.away = true
	v.store.mu.Unlock()
	v.wantCall(alice, "notion", "", errAway)
}

// M09: a registration ends for all processes at once, and none is replaced again
// sooner because it was another process that did.
func TestRegistrationBetweenClocks_M09(t *testing.T) {
	for _, made := range skewed {
		g := newGateway(t)
		ends := g.clock.Now().Add(5 * time.Minute)
		g.provider.Page("/register", oauthtest.Document(oauthtest.Object{
			"client_id": "dynamic-1", "client_secret": "s", "client_secret_expires_at": ends.Unix(),
		}))
		g.process(made).start(g.request())
		for _, read := range skewed {
			at := g.process(read)
			for after, want := range map[time.Duration]string{4 * time.Minute: "dynamic-1", 5 * time.Minute: ""} {
				g.clock.Advance(after)
				rs, err := at.registrar.load(t.Context(), "notion", g.provider.URL)
				if err != nil || rs.ID != want {
					t.Errorf("made %v ahead, read %v ahead: %v later it is %q, %v; want %q", made, read, after, rs.ID, err, want)
				}
				g.clock.Advance(-after)
			}
		}
	}
}
