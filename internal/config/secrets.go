package config

import (
	"encoding/hex"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/guess"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

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
