package config

import (
	"errors"
	"regexp"
	"strings"
)

// Resolver yields the text behind a configured value. known is false while the
// value cannot be known yet: a placeholder when a Caddyfile is adapted. Its
// errors name the placeholder, never what is behind it.
type Resolver func(value string) (text string, known bool, err error)

// KeepPlaceholders is the Resolver that leaves placeholders alone. They may be
// meant for another machine, and must not be written into the adapted
// configuration.
func KeepPlaceholders(value string) (text string, known bool, err error) {
	return value, IsPlain(value), checkClosed(value)
}

// IsPlain reports whether a configured value is the text itself.
func IsPlain(value string) bool { return !strings.Contains(value, "{") }

var placeholderPattern = regexp.MustCompile(`\{([^{}]*)\}`)

// Placeholders returns the names of the placeholders in a value.
func Placeholders(value string) []string {
	var names []string
	for _, match := range placeholderPattern.FindAllStringSubmatch(value, -1) {
		names = append(names, match[1])
	}
	return names
}

// checkClosed refuses a placeholder without its end, which would be taken for
// the text itself.
func checkClosed(value string) error {
	rest := placeholderPattern.ReplaceAllString(strings.ReplaceAll(value, `\{`, ""), "")
	if strings.Contains(rest, "{") {
		return errors.New("a placeholder is not closed; write it as {env.NAME}")
	}
	return nil
}

// replace replaces a value by the text behind it.
func (resolve Resolver) replace(path string, value *string) (known bool, err error) {
	text, known, err := resolve(*value)
	if err != nil {
		return known, Errorf(path, "%v", err)
	}
	*value = text
	return known, nil
}
