package spelling

import (
	"strings"
	"testing"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

var ascii = func() (all []rune) {
	for r := range rune(0x80) {
		all = append(all, r)
	}
	return all
}()

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"Tools/Call": "tools/call",
		"ｔｏｏｌｓ":      "tools",
		"toolſ":      "tools",
		"\u212aey":   "key", // the sign of Kelvin
		"STRASSE":    "strasse",
		"straße":     "strasse",
		"é":          "é",
		"e\u0301":    "é",
		"a b_c":      "a b_c",
		"LİST":       "list",
		"LI\u0307ST": "list",
		"lıst":       "list",
	} {
		if got := Fold(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// What has no characters beyond ASCII is folded as everything else, only faster.
func TestFoldOfASCII(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom(ascii)).Draw(t, "text")
		if got, want := Fold(text), cases.Fold().String(norm.NFKC.String(text)); got != want {
			t.Fatalf("%q: got %q, want %q", text, got, want)
		}
	})
}

func TestSkeleton(t *testing.T) {
	for _, spelling := range []string{"delete_repo", "Delete-Repo", " delete repo\t", "ｄｅｌｅｔｅ_ｒｅｐｏ", "delete\u200b_repo", "de\u00adlete.repo"} {
		if got, want := Skeleton(spelling), "deleterepo"; got != want {
			t.Errorf("%q: got %q, want %q", spelling, got, want)
		}
	}
	if Skeleton("a+b") == Skeleton("ab") || Skeleton(strings.Repeat("é", 3)) == "" {
		t.Error("symbols and letters are dropped")
	}
}
