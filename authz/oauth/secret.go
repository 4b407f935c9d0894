package oauth

import (
	"crypto/rand"
	"encoding/base64"
)

// NewSecret returns prefix and 256 random bits in base64url.
func NewSecret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}
