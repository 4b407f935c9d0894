package identity

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is how many characters the name of a person may have.
const MaxName = 255

var errName = errors.New("identity: not a name")

// CleanName returns the name in what somebody wrote. White space around the text
// is dropped; nothing else is changed, so that two people who see different names
// never share a subject. What a person could not see is refused for the same
// reason: control and format characters, such as zero-width ones and those that
// turn the direction of writing.
func CleanName(text string) (string, error) {
	name := strings.TrimSpace(text)
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > MaxName || strings.ContainsFunc(name, Invisible) {
		return "", errName
	}
	return name, nil
}

// Invisible reports whether a character cannot be seen, or is not what it seems.
func Invisible(r rune) bool {
	return r != ' ' && (!unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) ||
		unicode.Is(unicode.Variation_Selector, r))
}
