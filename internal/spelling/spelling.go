// Package spelling tells which texts may be taken for each other: by people who
// read them, or by programs that fold case, normalise Unicode or drop what they do
// not expect. It says nothing of letters of different scripts that look alike.
package spelling

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns what all spellings of a text have in common that differ in case,
// width or the form of their characters (Unicode NFKC and case folding), and in the dot
// of an i.
func Fold(text string) string {
	if isASCII(text) {
		return strings.ToLower(text)
	}
	return cases.Fold().String(turkishI.Replace(norm.NFKC.String(text)))
}

// turkishI writes the two letters as i that are one with it for programs whose case is
// Turkish or which compare letter by letter, as equalsIgnoreCase of Java does. Unicode's
// folding keeps them apart.
var turkishI = strings.NewReplacer("İ", "i", "ı", "i")

// Skeleton returns what all spellings of a name have in common that a lenient program
// could take for the same: it has no case, width, blanks or punctuation.
func Skeleton(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) {
			return r
		}
		return -1
	}, Fold(name))
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
