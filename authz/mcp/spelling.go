package mcp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// methods are those that use an item, list items, or tell which there are, and
// "initialize", which has no headers.
var methods = func() map[string]string {
	known := map[string]string{}
	for _, m := range []string{
		"initialize", "server/discover", Subscribe,
		"tools/list", "tools/call", "prompts/list", "prompts/get",
		"resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
		"completion/complete",
	} {
		known[Skeleton(m)] = m
	}
	return known
}()

// isSpeltAsKnown reports whether a method is none of those known, or written exactly
// as MCP does.
func isSpeltAsKnown(method string) bool {
	switch method {
	case "tools/call", "tools/list": // most of them
		return true
	}
	known, ok := methods[Skeleton(method)]
	return !ok || known == method
}

// Skeleton returns what all spellings of a name have in common that a lenient server
// could take for the same: it has no case, width, blanks or punctuation.
func Skeleton(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) {
			return r
		}
		return -1
	}, fold(name))
}

// fold returns what all spellings of a text have in common that differ in case and
// width.
func fold(s string) string {
	if isLower(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return unicode.ToLower(least)
	}, norm.NFKC.String(s))
}

func isLower(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}
