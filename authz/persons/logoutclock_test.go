package persons

import (
	"context"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// skewedStore is what a process whose clock is wrong has of a store with a clock of
// its own.
type skewedStore struct {
	Store
	ahead time.Duration // of the store's clock
}

func (s *skewedStore) Ahead() time.Duration { return s.ahead }

func (s *skewedStore) Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error) {
	return s.Store.Used(ctx, h, now.Add(s.ahead))
}

func (s *skewedStore) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return s.Store.UseOnce(ctx, h, expiresAt.Add(s.ahead), now.Add(s.ahead))
}

// M09: a logout token that one process took ends nothing at another, however far
// their clocks are apart.
func TestLogoutBetweenClocks_M09_J10(t *testing.T) {
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		run(t, func(s *site) {
			right := s.deps
			logout := identity.Logout{Subject: company + ":nobody", ID: "jti", ExpiresAt: time.Now().Add(time.Minute)}
			m := s.cfg.SignIn.Of(company)
			s.deps.Store, s.deps.Now = &skewedStore{right.Store, -ahead}, func() time.Time { return time.Now().Add(ahead) }
			s.must(s.LoggedOut(t.Context(), m, logout))
			s.deps = right
			if err := s.LoggedOut(t.Context(), m, logout); oauth.AsError(err).Code != "invalid_request" {
				t.Errorf("taken %v ahead, and the same token again: %v", ahead, err)
			}
			time.Sleep(2 * time.Minute)
			if used, err := right.Store.Used(t.Context(), storage.HashOf("logout token\n"+issuer+"\n"+company+"\njti"), time.Now()); used || err != nil {
				t.Errorf("taken %v ahead, and still known after its end: %v", ahead, err)
			}
		})
	}
}
