package tokens

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// RefreshTokens makes the refresh tokens of one issuer, each of which proves to
// belong to its grant:
//
//	prefix ‖ base64url( 32 random bytes ‖ grant ID ‖ first 16 bytes of HMAC-SHA-256(key, both) )
//
// So the reuse of any token of a grant is recognised, however long ago it was
// used, without a record of each. What a token is good for is the store's word
// alone.
type RefreshTokens struct {
	macs seal.MACs // one makes, all are recognised
}

const (
	grantIDSize    = len(uuid.UUID{})
	refreshTagSize = 16
)

// NewRefreshTokens returns the refresh tokens of an issuer. One proves its grant
// for as long as the key with which the ring sealed when it was made is in the
// ring; without it, it works as well.
func NewRefreshTokens(keys *seal.Keyring, issuer string) *RefreshTokens {
	return &RefreshTokens{keys.MACs("refresh token " + issuer)}
}

// New returns a new refresh token of a grant. It proves nothing if the ID is no
// UUID.
func (t *RefreshTokens) New(grantID string) string {
	id, err := uuid.Parse(grantID)
	if err != nil {
		return oauth.NewSecret(RefreshPrefix)
	}
	var random [randomSize]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	body := append(random[:], id[:]...)
	sum := t.macs.Sum(t.macs.First(), string(body))
	return RefreshPrefix + base64.RawURLEncoding.EncodeToString(append(body, sum[:refreshTagSize]...))
}

// GrantID returns the grant that a refresh token proves to belong to, or "" for
// one that was not made here, or in the way of an earlier version.
func (t *RefreshTokens) GrantID(token string) string {
	text, _ := strings.CutPrefix(token, RefreshPrefix)
	b, err := strictBase64.DecodeString(text)
	if err != nil || len(b) != randomSize+grantIDSize+refreshTagSize {
		return ""
	}
	body, tag := b[:randomSize+grantIDSize], b[randomSize+grantIDSize:]
	for i := range t.macs.Len() {
		sum := t.macs.Sum(i, string(body))
		if subtle.ConstantTimeCompare(sum[:refreshTagSize], tag) == 1 {
			return uuid.UUID(body[randomSize:]).String()
		}
	}
	return ""
}
