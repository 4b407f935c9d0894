package consent

import (
	"net/url"
	"slices"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// grantReads are the verbs by which grants are read that a store was called for.
func grantReads(s *storetest.Faulty) []string {
	return slices.DeleteFunc(s.Called(), func(verb string) bool {
		return !slices.Contains([]string{"Grant", "Grants", "GrantsOf", "GrantsOfClient", "LastGrant"}, verb)
	})
}

// However often somebody let applications in, a page that lets choose tools reads the one
// grant that it goes by, and one for whom nothing can be chosen none.
func TestServicesPageReadsOneGrant(t *testing.T) {
	ticked := url.Values{"decision": {"approve"}, "resource": approveBoth["resource"], "tools:notion": {"ticked"}, "tool": {"a-tick"}}
	for name, tc := range map[string]struct {
		rules func() *access.Rules
		want  []string
	}{
		"tools can be chosen": {func() *access.Rules { return nil }, []string{"LastGrant"}},
		"none can": {func() *access.Rules {
			nothing := new(access.Rules)
			if err := nothing.Add(access.Tool, []access.Rule{{Deny: []string{"*"}}}); err != nil {
				t.Fatal(err)
			}
			return nothing
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			store := storetest.NewFaulty(memstore.New())
			b := newWalkBy(t, store, func(c *config.Site) {
				for _, s := range c.Servers {
					s.Rules = tc.rules()
				}
			}).browser()
			for range 5 {
				answer(t, b.press(b.signIn("alice"), submitPath, approveBoth))
			}
			store.Called()
			page := b.signIn("alice")
			if got := grantReads(store); !slices.Equal(got, tc.want) {
				t.Errorf("the page reads grants by %q, want %q", got, tc.want)
			}
			answer(t, b.press(page, submitPath, approveBoth))
			if got := grantReads(store); len(got) > 0 {
				t.Errorf("the form without ticks reads grants by %q", got)
			}
			b.press(b.signIn("alice"), submitPath, ticked)
			if got := grantReads(store); !slices.Equal(got, slices.Concat(tc.want, tc.want)) {
				t.Errorf("the page and its form with ticks read grants by %q, want %q each", got, tc.want)
			}
		})
	}
}
