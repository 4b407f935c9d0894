// Package generated compares pages of the documentation with what tests make from
// the code. It is for tests alone.
package generated

import (
	"os"
	"strings"
	"testing"
)

const (
	// begin ends the comment behind which the generated part is. The comment has the
	// command that writes it anew.
	begin = "-update -->\n"
	// end is behind that part, on a page that goes on after it.
	end = "<!-- end -->"
)

// Compare fails the test unless the generated part of the page, whose path is from
// the folder of the test, is as the code says. With update, it writes it there.
func Compare(t testing.TB, page, want string, update bool) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, got, found := strings.Cut(string(text), begin)
	if !found {
		t.Fatalf("%s has no comment that ends with %q", page, begin)
	}
	got, after, goesOn := strings.Cut(got, end)
	if goesOn {
		after = end + after
	}
	if got == want {
		return
	}
	if !update {
		t.Fatalf("%s is not what the code says; write it anew: run this test with -update", page)
	}
	if err := os.WriteFile(page, []byte(before+begin+want+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
