package tokens

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// AccessTokens makes the access tokens of one issuer, and tells them from what
// others make up without asking the store:
//
//	prefix ‖ base64url( 32 random bytes ‖ first 8 bytes of HMAC-SHA-256(key, random bytes) )
//
// The tag only keeps invented tokens from reaching the store. Whether a token is
// good, and what for, is the store's word alone.
type AccessTokens struct {
	macs seal.MACs // the first makes, all are recognized
}

const (
	randomSize = 32
	tagSize    = 8
	// encodedSize is the length of an access token behind its prefix.
	encodedSize = (8*(randomSize+tagSize) + 5) / 6
)

// NewAccessTokens returns the access tokens of an issuer. They are recognized
// for as long as the key that was the ring's first when they were made is in
// the ring.
func NewAccessTokens(keys *seal.Keyring, issuer string) *AccessTokens {
	return &AccessTokens{seal.NewMACs(keys.Derive("access token " + issuer)...)}
}

// New returns a new access token.
func (a *AccessTokens) New() string {
	var b [randomSize + tagSize]byte
	random, tag := b[:randomSize], b[randomSize:]
	_, _ = rand.Read(random) // never fails, see crypto/rand
	sum := a.macs.Sum(0, string(random))
	copy(tag, sum[:])
	return AccessPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// strictBase64 has one text for the same bytes: the last character of a token
// cannot be another.
var strictBase64 = base64.RawURLEncoding.Strict()

// HasAccessTokenForm reports whether a text looks like an access token, be it old or
// made up. It guesses at nothing then: the keys of operators look otherwise.
func HasAccessTokenForm(token string) bool {
	return len(token) == len(AccessPrefix)+encodedSize && strings.HasPrefix(token, AccessPrefix)
}

// Issued reports whether the text is an access token that was made here.
func (a *AccessTokens) Issued(token string) bool {
	text, ok := strings.CutPrefix(token, AccessPrefix)
	if !ok || len(text) != encodedSize {
		return false
	}
	var encoded [encodedSize]byte
	copy(encoded[:], text)
	var b [randomSize + tagSize]byte
	if n, err := strictBase64.Decode(b[:], encoded[:]); err != nil || n != len(b) {
		return false
	}
	for i := range a.macs {
		sum := a.macs.Sum(i, string(b[:randomSize]))
		if subtle.ConstantTimeCompare(sum[:tagSize], b[randomSize:]) == 1 {
			return true
		}
	}
	return false
}
