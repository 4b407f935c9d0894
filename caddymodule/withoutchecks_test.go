//go:build checksout

package caddymodule

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// Built with faults by which checks can be taken out, each way around is shut by those
// that it names. integration_test builds it so.
func TestWithoutChecks(t *testing.T) {
	server, g := lenientGateway(t)
	for _, way := range waysAround(t) {
		t.Run(way.Way, func(t *testing.T) {
			uses := func(without ...string) []string {
				t.Setenv("MCP_OAUTH_CHECKS_OUT", "|"+strings.Join(without, "|")+"|")
				return server.usedBy(t, g, cmp.Or(way.At, "/ruled"), &way)
			}
			if len(way.Shut) == 0 {
				t.Fatal("it does not say by what it is shut")
			}
			if got := uses(way.Shut...); !slices.Contains(got, way.Uses) {
				t.Errorf("without %q it uses %q, want %q", way.Shut, got, way.Uses)
			}
			for i := range way.Shut {
				others := slices.Delete(slices.Clone(way.Shut), i, i+1)
				if got := uses(others...); slices.Contains(got, way.Uses) {
					t.Errorf("with %q it uses %q", way.Shut[i], got)
				}
			}
		})
	}
}
