package authz

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func accessTokensOf(t testing.TB, issuer string, keys ...byte) *AccessTokens {
	t.Helper()
	var all [][]byte
	for _, k := range keys {
		all = append(all, bytes.Repeat([]byte{k}, seal.KeySize))
	}
	ring, err := seal.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return NewAccessTokens(ring, issuer)
}

func TestAccessTokensAreRecognized(t *testing.T) {
	old, other := accessTokensOf(t, gateIssuer, 1), accessTokensOf(t, "https://other.example.com", 1)
	rotated, left := accessTokensOf(t, gateIssuer, 2, 1), accessTokensOf(t, gateIssuer, 2)
	token := old.New()
	dashed := old.New()
	for !strings.Contains(dashed, "-") {
		dashed = old.New()
	}
	if !old.Issued(token) || !rotated.Issued(token) || !left.Issued(rotated.New()) {
		t.Error("a token is not recognized")
	}
	for name, issued := range map[string]bool{
		"another issuer's":                      other.Issued(token),
		"key left the ring":                     left.Issued(token),
		"longer":                                old.Issued(token + "A"),
		"without prefix":                        old.Issued(strings.TrimPrefix(token, accessTokenPrefix)),
		"empty":                                 old.Issued(""),
		"prefix alone":                          old.Issued(accessTokenPrefix),
		"bits of no meaning":                    old.Issued(token[:len(token)-1] + string(token[len(token)-1]+1)),
		"in the alphabet of RFC 4648 section 4": old.Issued(strings.ReplaceAll(dashed, "-", "+")),
		"another kind":                          old.Issued(refreshTokenPrefix + strings.TrimPrefix(token, accessTokenPrefix)),
	} {
		if issued {
			t.Errorf("recognized: %s", name)
		}
	}
}

// No change of a token is recognized, and no two tokens are the same.
func TestChangedAccessTokens(t *testing.T) {
	tokens := accessTokensOf(t, gateIssuer, 1)
	seen := map[string]bool{}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=\n"
	rapid.Check(t, func(t *rapid.T) {
		token := tokens.New()
		if seen[token] {
			t.Fatal("made twice")
		}
		seen[token] = true
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		c := rapid.SampledFrom([]byte(alphabet)).Draw(t, "character")
		changed := token[:at] + string(c) + token[at+1:]
		if tokens.Issued(changed) != (changed == token) {
			t.Fatalf("%s, changed from %s", changed, token)
		}
	})
}

// What a stranger makes up costs the store nothing.
func TestMadeUpTokensNeverReachTheStore(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	genuine := f.issue(nil)
	for _, token := range []string{
		"x", accessTokenPrefix, oauth.NewSecret(accessTokenPrefix), accessTokenPrefix + strings.Repeat("A", encodedSize),
		genuine[:len(genuine)-9] + "AAAAAAAAA", NewAccessTokens(gateKeys, "https://other.example.com").New(),
	} {
		c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token)
		refused(t, c, w, http.StatusUnauthorized, invalidMCP)
	}
	if f.store.reads != 0 {
		t.Errorf("%d reads", f.store.reads)
	}
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+genuine); c == nil || f.store.reads != 1 {
		t.Errorf("a genuine one: %v, %d reads", c, f.store.reads)
	}
}

func BenchmarkIssued(b *testing.B) {
	tokens := accessTokensOf(b, gateIssuer, 1)
	token := tokens.New()
	b.ReportAllocs()
	for b.Loop() {
		if !tokens.Issued(token) {
			b.Fatal("not recognized")
		}
	}
}
