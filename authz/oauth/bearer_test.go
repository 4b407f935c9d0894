package oauth

import (
	"strings"
	"testing"
)

func FuzzParseBearer(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Bearer a", "bearer  a", "Bearer a, Bearer b", "Basic a", "Bearera", "Bearer a b",
		"Bearer \x00", "Bearer " + strings.Repeat("a", maxBearer+1), "bEaReR mcpat_x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, kind := ParseBearer([]string{value})
		if (kind == BearerCredential) != (token != "") {
			t.Fatalf("kind %d with token %q", kind, token)
		}
		if _, twice := ParseBearer([]string{value, value}); twice != MalformedCredential {
			t.Fatal("two headers pass")
		}
		if kind != BearerCredential {
			return
		}
		if len(token) > maxBearer || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' }) {
			t.Fatalf("token %q", token)
		}
		scheme, rest, found := strings.Cut(value, " ")
		if !found || !strings.EqualFold(scheme, "bearer") || strings.Trim(rest, " ") != token {
			t.Fatalf("token %q of %q", token, value)
		}
	})
}
