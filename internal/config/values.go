package config

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/guess"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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

// minSecretLength keeps out what people make up: secrets are stored under a
// fast hash, so they must not be guessable.
const minSecretLength = 16

// makeOne tells how to get a secret that nobody guesses.
const makeOne = "make a random one with `openssl rand -base64 32`"

// hashSecret returns the hash of a configured secret, given by a placeholder
// or as sha256:<hex>. It returns nil for a secret that is not known yet. A
// configuration can be read in many places, so a secret itself is refused; no
// error repeats any of it.
func hashSecret(path, what, value string, resolve Resolver) (*storage.Hash, error) {
	if !strings.Contains(value, "{") && !strings.HasPrefix(value, "sha256:") {
		return nil, Errorf(path, "the %s must not be in the configuration; write sha256:<hash>, or a placeholder such as {env.NAME} ({$NAME} puts the secret itself there)", what)
	}
	text, known, err := resolve(value)
	if err != nil {
		return nil, Errorf(path, "%v", err)
	}
	if !known {
		return nil, nil
	}
	if digits, ok := strings.CutPrefix(text, "sha256:"); ok {
		var h storage.Hash
		if n, err := hex.Decode(h[:], []byte(digits[:min(len(digits), 2*len(h))])); err != nil || n != len(h) || len(digits) != 2*len(h) {
			return nil, Errorf(path, "after sha256: the %s needs 64 hexadecimal digits", what)
		}
		if h == storage.HashOf("") || h == storage.HashOf("\n") { // of a variable that was not set
			return nil, Errorf(path, "the %s is the hash of an empty text; %s and write down its hash", what, makeOne)
		}
		return &h, nil
	}
	if len(text) < minSecretLength {
		return nil, Errorf(path, "the %s is too short; use at least %d random characters", what, minSecretLength)
	}
	if guess.Easy(text) {
		return nil, Errorf(path, "the %s is easy to guess; %s", what, makeOne)
	}
	h := storage.HashOf(text)
	return &h, nil
}

// Duration is a duration as Caddy reads and writes it: a number of nanoseconds,
// or a text such as "15m", "1h" or "30d".
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, quoted := strings.CutPrefix(string(data), `"`)
	if !quoted {
		return json.Unmarshal(data, (*time.Duration)(d))
	}
	parsed, err := ParseDuration(strings.Trim(text, `"`))
	*d = Duration(parsed)
	return err
}

func (Duration) describe() string { return `a duration, such as "15m", "1h" or "30d"` }

const maxDurationLen = 1024

var daysPattern = regexp.MustCompile(`[-+.0-9]+d`)

// ParseDuration reads a duration that can be in days of 24 hours, too.
func ParseDuration(text string) (time.Duration, error) {
	if len(text) > maxDurationLen {
		return 0, errors.New("a duration is too long")
	}
	return time.ParseDuration(daysPattern.ReplaceAllStringFunc(text, func(days string) string {
		n, err := strconv.ParseFloat(strings.TrimSuffix(days, "d"), 64)
		if err != nil {
			return days // which is no duration
		}
		return strconv.FormatFloat(n*24, 'f', -1, 64) + "h"
	}))
}

// days writes a duration as people write it in a configuration.
func days(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= unit.length && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.name)
		}
	}
	return d.String()
}

// TooShort says how long a duration must be at least.
func TooShort(least time.Duration) string { return "must be at least " + days(least) }

// Error is an error in the configuration: the field that is to be corrected, by
// its path in the JSON, such as servers[1].auth.client_id, and what to do. The
// Caddyfile adapter makes a line of the path.
type Error struct {
	Path string
	Text string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Text
	}
	return e.Path + ": " + e.Text
}

// Errorf returns an *Error.
func Errorf(path, format string, args ...any) error {
	return &Error{path, fmt.Sprintf(format, args...)}
}

// Index returns the path of an entry of a list.
func Index(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// Choice says which word was meant, or else which there are.
func Choice(word string, known []string) string {
	if near := spelling.Nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; use one of: " + strings.Join(known, ", ")
}
