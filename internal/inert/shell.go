package inert

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./-]*$`)

// Shell returns a word as one argument of a command that people copy into a shell, where
// nothing in it means anything. It is empty if the word cannot be copied as it is: it is
// empty, could be an option, or has characters that cannot be seen.
func Shell(word string) string {
	switch {
	case plainWord.MatchString(word):
		return word
	case word == "" || word[0] == '-' || !utf8.ValidString(word) || strings.ContainsFunc(word, unseen):
		return ""
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// unseen reports whether a character does not show, or moves what stands beside it.
func unseen(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r) }
