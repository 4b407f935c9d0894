package tokens

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// AccessTokens makes the access tokens of one issuer, and tells them from what
// others make up without asking the store:
//
//	prefix ‖ base64url( 16 random bytes ‖ 16 bytes that bind it to its record ‖ first 8 bytes of HMAC-SHA-256(key, what is before) )
//
// What stands behind the prefix there is the id of one that is a JWT, see Claims.
// The tag only keeps invented tokens from reaching the store. Whether a token is
// good, and what for, is the store's word, as far as that is about this token, see
// Bound.
type AccessTokens struct {
	macs seal.MACs // one makes, all are recognized
}

const (
	accessRandomSize = 16
	boundSize        = 16
	tagSize          = 8
	// encodedSize is the length of an id: of an access token behind its prefix.
	encodedSize = (8*(accessRandomSize+boundSize+tagSize) + 5) / 6
)

// NewAccessTokens returns the access tokens of an issuer. They are recognized
// for as long as the key with which the ring sealed when they were made is in
// the ring.
func NewAccessTokens(keys *seal.Keyring, issuer string) *AccessTokens {
	return &AccessTokens{keys.MACs("access token " + issuer)}
}

// New returns a new access token for a record with these contents.
func (a *AccessTokens) New(of Contents) string { return AccessPrefix + a.newID(opaqueForm, of) }

// form is a way to spell access tokens. The tag of one is none in another.
type form int

const (
	opaqueForm form = iota
	jwtForm
)

// sum returns the MAC of an id without its tag, under the i-th key.
func (a *AccessTokens) sum(i int, f form, id string) [sha256.Size]byte {
	if f == jwtForm {
		return a.macs.Sum(i, "jwt", id)
	}
	return a.macs.Sum(i, id)
}

func (a *AccessTokens) newID(f form, of Contents) string {
	var b [accessRandomSize + boundSize + tagSize]byte
	first := a.macs.First()
	_, _ = rand.Read(b[:accessRandomSize]) // never fails, see crypto/rand
	bound := a.bind(first, string(b[:accessRandomSize]), of)
	copy(b[accessRandomSize:], bound[:])
	sum := a.sum(first, f, string(b[:accessRandomSize+boundSize]))
	copy(b[accessRandomSize+boundSize:], sum[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// strictBase64 has one text for the same bytes: the last character of a token
// cannot be another.
var strictBase64 = base64.RawURLEncoding.Strict()

// HasAccessTokenForm reports whether a text looks like an access token, be it old or
// made up. It guesses at nothing then: the keys of operators look otherwise.
func HasAccessTokenForm(token string) bool {
	if strings.HasPrefix(token, AccessPrefix) {
		return len(token) == len(AccessPrefix)+encodedSize
	}
	_, isJWT := jwtID(token)
	return isJWT
}

// IsAccessToken reports whether a text is an access token rather than a refresh
// token or a code, if it is any of them.
func IsAccessToken(token string) bool {
	return strings.HasPrefix(token, AccessPrefix) || HasAccessTokenForm(token)
}

// Issued reports whether the text is an access token that was made here. Of a JWT
// only its id is looked at: one that was changed otherwise is not in the store.
func (a *AccessTokens) Issued(token string) bool {
	var encoded [encodedSize]byte
	if text, ok := strings.CutPrefix(token, AccessPrefix); ok {
		return len(text) == copy(encoded[:], text) && len(text) == encodedSize && a.made(opaqueForm, encoded)
	}
	encoded, ok := jwtID(token)
	return ok && a.made(jwtForm, encoded)
}

// made reports whether an id was made here for a form.
func (a *AccessTokens) made(f form, encoded [encodedSize]byte) bool {
	const tagged = accessRandomSize + boundSize
	var b [tagged + tagSize]byte
	if n, err := strictBase64.Decode(b[:], encoded[:]); err != nil || n != len(b) {
		return false
	}
	for i := range a.macs.Len() {
		sum := a.sum(i, f, string(b[:tagged]))
		if subtle.ConstantTimeCompare(sum[:tagSize], b[tagged:]) == 1 {
			return true
		}
	}
	return false
}
