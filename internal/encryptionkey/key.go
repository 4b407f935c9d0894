package encryptionkey

import (
	"encoding/base64"
	"encoding/hex"
	"errors"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/guess"
)

// Size of a key in bytes.
const Size = 32

// ErrForm is the error of Parse for a text that is no key.
var ErrForm = errors.New("must be 32 random bytes in base64 or hexadecimal; create one with `openssl rand -base64 32`")

var errRegular = errors.New("must not be easy to guess; put a new one first, made with `openssl rand -base64 32`, and keep this one below it until all is sealed anew")

// Parse returns the key in a text. The first of a ring, which seals, must be
// random. One that was replaced is needed to read what it sealed, however it
// was made.
func Parse(text string, first bool) ([]byte, error) {
	key, err := decode(text)
	if err == nil && first && isRegular(key) {
		return nil, errRegular
	}
	return key, err
}

func decode(text string) ([]byte, error) {
	for _, form := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := form(text); err == nil && len(key) == Size {
			return key, nil
		}
	}
	return nil, ErrForm
}

// isRegular reports whether a key is too regular to be random: 32 random bytes,
// and the steps between them, have fewer than 16 different values practically
// never. What is all text was perhaps made up.
func isRegular(key []byte) bool {
	values, steps, text := map[byte]bool{}, map[byte]bool{}, true
	for i, b := range key {
		values[b], steps[b-key[max(i, 1)-1]] = true, true
		text = text && b >= ' ' && b <= '~'
	}
	return len(values) < 16 || len(steps) < 16 || text && guess.Easy(string(key))
}
