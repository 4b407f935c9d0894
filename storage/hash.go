package storage

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
)

// Hash is the SHA-256 of a bearer secret. All such secrets are 256 random
// bits, so a fast unsalted hash is enough: there is nothing to guess.
type Hash [sha256.Size]byte

// HashOf returns the hash under which the secret is stored.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// MarshalText writes the hash in base64url, for records.
func (h Hash) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText reverses MarshalText.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.AppendDecode(nil, text)
	if err != nil || len(b) != len(h) {
		return errors.New("storage: not a hash")
	}
	*h = Hash(b)
	return nil
}

// Equal compares in constant time.
func (h Hash) Equal(other Hash) bool { return subtle.ConstantTimeCompare(h[:], other[:]) == 1 }
