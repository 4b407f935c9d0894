package clients

import (
	"context"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// skewedStore is what a process whose clock is wrong has of a store with a clock of
// its own.
type skewedStore struct {
	storage.AuthStore
	ahead time.Duration // of the store's clock
}

func (s *skewedStore) Ahead() time.Duration { return s.ahead }

func (s *skewedStore) UseOnce(ctx context.Context, h storage.Hash, expiresAt, now time.Time) (bool, error) {
	return s.AuthStore.UseOnce(ctx, h, expiresAt.Add(s.ahead), now.Add(s.ahead))
}

// M09: an assertion that one process took is refused by all others for as long as any
// would take it, and all would for as long, however far their clocks are apart. It was
// taken twice.
func TestAssertionBetweenClocks_M09_C09(t *testing.T) {
	clocks := []time.Duration{0, 10 * time.Minute, -10 * time.Minute}
	for _, first := range clocks {
		s := newSigner(t, jose.ES256, "k1")
		ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, s.public())})
		one := *ts.authenticator
		at := func(ahead time.Duration, assertion string) error {
			process := one
			process.Store = &skewedStore{one.Store, -ahead}
			process.Now = func() time.Time { return ts.clock.Now().Add(ahead) }
			ts.authenticator = &process
			return ts.assert(assertion)
		}
		used := s.sign(t, claims())
		if err := at(first, used); err != nil {
			t.Errorf("%v ahead, a good assertion: %v", first, err)
		}
		for after := time.Duration(0); after < 25*time.Minute; after += 30 * time.Second {
			for _, other := range clocks {
				if at(other, used) == nil {
					t.Errorf("used at %v ahead, and %v later again at %v ahead", first, after, other)
				}
			}
			ts.clock.Advance(30 * time.Second)
		}
	}
}
