package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// mistake is an error in the configuration, together with the option that is
// to be corrected, so that the Caddyfile adapter can name its line.
type mistake struct {
	option string
	text   string
}

func (m *mistake) Error() string { return m.option + ": " + m.text }

func wrong(option, format string, args ...any) error {
	return &mistake{option, fmt.Sprintf(format, args...)}
}

// resolver yields the text behind a configured value. known is false while
// the value cannot be known yet: a placeholder when a Caddyfile is adapted.
type resolver func(value string) (text string, known bool, err error)

// whenAdapting leaves placeholders alone. They may be meant for another
// machine, and must not be written into the adapted configuration.
func whenAdapting(value string) (string, bool, error) {
	return value, !strings.Contains(value, "{"), nil
}

// whenProvisioning resolves placeholders. Its errors name the placeholder,
// never what is behind it.
func whenProvisioning(value string) (string, bool, error) {
	if !strings.Contains(value, "{") {
		return value, true, nil
	}
	text, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	return text, true, err
}
