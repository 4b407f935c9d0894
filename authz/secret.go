package authz

import (
	"crypto/rand"
	"encoding/base64"
)

// Prefixes of the secrets this server issues. They let secret scanners find a
// leaked one, and keep one kind from being taken for another.
const (
	accessTokenPrefix       = "mcpat_"
	refreshTokenPrefix      = "mcprt_"
	codePrefix              = "mcpac_"
	clientSecretPrefix      = "mcpcs_"
	registrationTokenPrefix = "mcpreg_"
)

// newSecret returns prefix and 256 random bits in base64url.
func newSecret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}
