package authz

import (
	"crypto/rand"
	"encoding/base64"
)

// newSecret returns prefix and 256 random bits in base64url.
func newSecret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}
