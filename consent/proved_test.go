package consent

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// D09: a visit counts as proof only if the request came through the other
// handler as the person of the browser's session.
func TestVisitProvesAgain_D09(t *testing.T) {
	bob := storage.Identity{Kind: "caddy", Subject: "caddy:bob", Name: "bob"}
	for name, test := range map[string]struct {
		user string
		want int
	}{
		"as that person": {"bob", 1}, "as another": {"carol", 0}, "as nobody": {"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := home(t, bob)
			s.user = test.user
			s.get(AccountPath)
			if len(s.proved) != test.want {
				t.Errorf("proved %v, want %d", s.proved, test.want)
			}
		})
	}
}
