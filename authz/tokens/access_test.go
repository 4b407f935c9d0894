package tokens

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

const testIssuer = "https://mcp.example.com"

func accessTokensOf(t testing.TB, issuer string, keys ...byte) *AccessTokens {
	t.Helper()
	return NewAccessTokens(ringOf(t, keys...), issuer)
}

func ringOf(t testing.TB, keys ...byte) *seal.Keyring {
	t.Helper()
	var all [][]byte
	for _, k := range keys {
		all = append(all, bytes.Repeat([]byte{k}, seal.KeySize))
	}
	ring, err := seal.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestAccessTokensAreRecognized(t *testing.T) {
	old, other := accessTokensOf(t, testIssuer, 1), accessTokensOf(t, "https://other.example.com", 1)
	rotated, left := accessTokensOf(t, testIssuer, 2, 1), accessTokensOf(t, testIssuer, 2)
	token := old.New(Contents{})
	dashed := old.New(Contents{})
	for !strings.Contains(dashed, "-") {
		dashed = old.New(Contents{})
	}
	if !old.Issued(token) || !rotated.Issued(token) || !left.Issued(rotated.New(Contents{})) {
		t.Error("a token is not recognized")
	}
	for name, issued := range map[string]bool{
		"another issuer's":                      other.Issued(token),
		"key left the ring":                     left.Issued(token),
		"longer":                                old.Issued(token + "A"),
		"without prefix":                        old.Issued(strings.TrimPrefix(token, AccessPrefix)),
		"empty":                                 old.Issued(""),
		"prefix alone":                          old.Issued(AccessPrefix),
		"bits of no meaning":                    old.Issued(token[:len(token)-1] + string(token[len(token)-1]+1)),
		"in the alphabet of RFC 4648 section 4": old.Issued(strings.ReplaceAll(dashed, "-", "+")),
		"another kind":                          old.Issued(RefreshPrefix + strings.TrimPrefix(token, AccessPrefix)),
	} {
		if issued {
			t.Errorf("recognized: %s", name)
		}
	}
}

// No change of a token is recognized, and no two tokens are the same.
func TestChangedAccessTokens(t *testing.T) {
	tokens := accessTokensOf(t, testIssuer, 1)
	seen := map[string]bool{}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=\n"
	rapid.Check(t, func(t *rapid.T) {
		token := tokens.New(Contents{})
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

func BenchmarkIssued(b *testing.B) {
	tokens := accessTokensOf(b, testIssuer, 1)
	token := tokens.New(Contents{})
	b.ReportAllocs()
	for b.Loop() {
		if !tokens.Issued(token) {
			b.Fatal("not recognized")
		}
	}
}
