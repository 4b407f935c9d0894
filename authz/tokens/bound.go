package tokens

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// What a token is good for is the store's word, and whoever can write to the store
// could put another's record in the place of that of their own token. So a token
// carries a MAC of what its record says: it is made when both are, and checked when
// the record is read. Nothing in the store can be removed to be taken for a token
// without.

// Contents stand for what a record says of a token. Not in it are when it ends and what
// the person lets the client use of a resource: both can be narrowed later.
type Contents storage.Hash

// ContentsOf returns those of a record.
func ContentsOf(t *storage.AccessToken) Contents {
	d := sha256.New()
	size := func(n int) { d.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) } // never fails, see hash.Hash
	list := func(parts ...string) {
		size(len(parts))
		for _, part := range parts {
			size(len(part))
			d.Write([]byte(part))
		}
	}
	id := t.Identity
	list(t.GrantID, t.Issuer, t.ClientID, id.Kind, id.Subject, id.Name, id.Proof, id.Person, id.ProviderSession)
	list(t.Scope...)
	list(t.Audience...)
	return Contents(d.Sum(nil))
}

// bind returns what binds an id to the contents, under the i-th key.
func (a *AccessTokens) bind(i int, random string, of Contents) (bound [boundSize]byte) {
	sum := a.macs.Sum(i, "of", random, string(of[:]))
	copy(bound[:], sum[:])
	return bound
}

// Bound reports whether a token that was made here was made for a record with these
// contents.
func (a *AccessTokens) Bound(token string, of Contents) bool {
	var encoded [encodedSize]byte
	if text, ok := strings.CutPrefix(token, AccessPrefix); ok {
		copy(encoded[:], text)
	} else {
		encoded, _ = jwtID(token)
	}
	var b [accessRandomSize + boundSize + tagSize]byte
	if n, err := strictBase64.Decode(b[:], encoded[:]); err != nil || n != len(b) {
		return false
	}
	for i := range a.macs.Len() {
		bound := a.bind(i, string(b[:accessRandomSize]), of)
		if subtle.ConstantTimeCompare(bound[:], b[accessRandomSize:accessRandomSize+boundSize]) == 1 {
			return true
		}
	}
	return false
}
