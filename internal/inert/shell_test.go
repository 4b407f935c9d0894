package inert

import (
	"os/exec"
	"testing"
)

// What is copied into a shell is one word there, whatever it is, or is not offered.
func TestShell(t *testing.T) {
	for word, want := range map[string]string{
		"search_pages": "search_pages", "a/b.c-d": "a/b.c-d", "client:batch": "'client:batch'", "two words": "'two words'", "it's": `'it'\''s'`, "é": "'é'",
		"$(touch x)": "'$(touch x)'", "`touch x`": "'`touch x`'", "a;b": "'a;b'", "x\\": `'x\'`, "!!": "'!!'", "~": "'~'", "*": "'*'",
		"": "", "--all": "", "-x": "", "a\nb": "", "a\x1b[2J": "", "a\u200bb": "", "a\u202eb": "", "a\u00a0b": "", "a\xffb": "", "a\x00": "",
	} {
		got := Shell(word)
		if got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
		sh, err := exec.LookPath("sh")
		if err != nil || got == "" {
			continue
		}
		if read, err := exec.CommandContext(t.Context(), sh, "-c", "printf %s "+got).Output(); err != nil || string(read) != word {
			t.Errorf("%q: a shell reads %s as %q, %v", word, got, read, err)
		}
	}
}
