package consent

import (
	"errors"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// D09: a visit counts as proof only if the request came through the other
// handler as the person of the browser's session.
func TestVisitProvesAgain_D09(t *testing.T) {
	bob := storage.Identity{Kind: "caddy", Subject: "caddy:bob", Name: "bob"}
	for name, test := range map[string]struct {
		user string
		want bool
	}{
		"as that person": {"bob", true}, "as another": {"carol", false}, "as nobody": {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *config.Site) { c.SignIn = identity.Methods{identity.ByCaddy(24 * time.Hour)} }).signedIn(bob)
			s.user = test.user
			s.get(accountPath)
			_, err := s.store.Person(t.Context(), s.as.Config().Issuer, bob.Subject, s.clock.Now())
			if proved := err == nil; proved != test.want || err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("proved: %v, %v, want %v", proved, err, test.want)
			}
		})
	}
}
