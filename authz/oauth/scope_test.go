package oauth

import (
	"slices"
	"strings"
	"testing"
)

func FuzzScope(f *testing.F) {
	f.Add("mcp:use offline_access")
	f.Add("\x00\"\\ é")
	f.Fuzz(func(t *testing.T, s string) {
		scope, err := ParseScope(s)
		if err != nil {
			return
		}
		joined := strings.Join(scope, " ")
		if strings.ContainsFunc(joined, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
			t.Errorf("accepted %q", joined)
		}
		again, err := ParseScope(joined)
		if err != nil || !slices.Equal(again, scope) {
			t.Errorf("%q is not stable: %q, %v", scope, again, err)
		}
	})
}
