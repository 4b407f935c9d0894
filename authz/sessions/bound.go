package sessions

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Whoever can write to the store could put another's session in the place of their
// own. So the cookie of a session carries a MAC of whose it is:
//
//	base64url( 16 random bytes ‖ 16 bytes of HMAC-SHA-256(key, random bytes, whose) )

const (
	randomSize = 16
	boundSize  = 16
)

// newSecret returns what the cookie of a session is, once it is known whose that is.
func (ss *Sessions) newSecret() func(storage.Identity) string {
	var random [randomSize]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	first := ss.macs.First()    // by now: another may be by then
	return func(id storage.Identity) string {
		bound := ss.bind(first, string(random[:]), id)
		return base64.RawURLEncoding.EncodeToString(append(random[:], bound[:]...))
	}
}

// bind returns what binds random bytes to somebody, under the i-th key.
func (ss *Sessions) bind(i int, random string, id storage.Identity) (bound [boundSize]byte) {
	sum := ss.macs.Sum(i, random, id.Kind, id.Subject, id.Name, id.Proof, id.Person, id.ProviderSession)
	copy(bound[:], sum[:])
	return bound
}

// isOf reports whether a cookie was made for a session of somebody. One of a version
// that did not bind them was not.
func (ss *Sessions) isOf(secret string, id storage.Identity) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil || len(b) != randomSize+boundSize {
		return false
	}
	for i := range ss.macs.Len() {
		bound := ss.bind(i, string(b[:randomSize]), id)
		if subtle.ConstantTimeCompare(bound[:], b[randomSize:]) == 1 {
			return true
		}
	}
	return false
}
