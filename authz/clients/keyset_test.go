package clients

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// A key that says which algorithm it is for verifies no other (RFC 7517 section
// 4.4), though it could.
func TestKeyOfOneAlgorithm_C09(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, jose.JSONWebKey{Key: key.Public(), KeyID: "pss", Algorithm: "PS256"})})
	signed := func(alg jose.SignatureAlgorithm) string {
		return sign(t, alg, jose.JSONWebKey{Key: key, KeyID: "pss"}, claims())
	}
	if err := ts.assert(signed(jose.PS256)); err != nil {
		t.Errorf("its own algorithm: %v", err)
	}
	refusedAs(t, ts.assert(signed(jose.RS256)), "invalid_client")
}

// A key that can verify nothing is no usable key: its client could never sign
// in.
func TestKeyOfAnAlgorithmThatItCannotDo_C09(t *testing.T) {
	ec := newSigner(t, jose.ES256, "k")
	for alg, usable := range map[string]bool{"": true, "ES256": true, "RS256": false, "ES384": false, "none": false} {
		_, err := keyRules.Parse(keySet(t, jose.JSONWebKey{Key: ec.private.Public(), KeyID: "k", Algorithm: alg}))
		if usable && err != nil || !usable && (err == nil || !strings.Contains(err.Error(), "no usable key")) {
			t.Errorf("alg %q: %v", alg, err)
		}
	}
}

// refusedAs checks that a request was refused, and with which error code.
func refusedAs(t testing.TB, err error, code string) {
	t.Helper()
	if err == nil || oauth.AsError(err).Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// refusedBecause checks that a request was refused, with which error code, and
// why, which the log has and no answer.
func refusedBecause(t testing.TB, err error, code, why string) {
	t.Helper()
	if refusedAs(t, err, code); err != nil && !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want it to say %q", err, why)
	}
}
