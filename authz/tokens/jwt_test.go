package tokens

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// jwtOf returns a JWT with the claims, as it is signed. The signature matters to
// others.
func jwtOf(t interface{ Fatal(...any) }, c Claims, more string) string {
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(string(payload), "}") + more + "}"
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"EdDSA","kid":"k","typ":"at+jwt"}`)) + "." + encode([]byte(text)) + ".c2ln"
}

func TestJWTsAreRecognized(t *testing.T) {
	old, other := accessTokensOf(t, testIssuer, 1), accessTokensOf(t, "https://other.example.com", 1)
	rotated, left := accessTokensOf(t, testIssuer, 2, 1), accessTokensOf(t, testIssuer, 2)
	claims := old.NewClaims(Claims{Issuer: testIssuer, Subject: "s"}, Contents{})
	token := jwtOf(t, claims, `,"email":"a@example.com"`)
	if !old.Issued(token) || !rotated.Issued(token) || !HasAccessTokenForm(token) || !IsAccessToken(token) {
		t.Error("a token is not recognized")
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	for name, issued := range map[string]bool{
		"another issuer's":         other.Issued(token),
		"key left the ring":        left.Issued(token),
		"its id, opaque":           old.Issued(AccessPrefix + claims.ID),
		"an opaque one's id":       old.Issued(jwtOf(t, Claims{ID: strings.TrimPrefix(old.New(Contents{}), AccessPrefix)}, "")),
		"without signature":        old.Issued(header + "." + payload),
		"with an empty signature":  old.Issued(header + "." + payload + "."),
		"cut in its id":            old.Issued(header + "." + payload[:80] + ".x"),
		"header alone":             old.Issued(header),
		"beginning of a header":    old.Issued(headerStart),
		"another id":               old.Issued(jwtOf(t, Claims{ID: strings.Repeat("A", encodedSize)}, "")),
		"a longer id":              old.Issued(jwtOf(t, Claims{ID: claims.ID + "A"}, "")),
		"another claim goes first": old.Issued(header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"aud":"x","jti":"`+claims.ID+`"}`)) + ".x"),
	} {
		if issued {
			t.Errorf("recognized: %s", name)
		}
	}
}

// No change of what comes up to the end of the id is recognized.
func TestChangedJWTs(t *testing.T) {
	tokens := accessTokensOf(t, testIssuer, 1)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.\n"
	rapid.Check(t, func(t *rapid.T) {
		token := jwtOf(t, tokens.NewClaims(Claims{Issuer: testIssuer}, Contents{}), "")
		start := strings.IndexByte(token, '.')
		at := rapid.IntRange(start+1, start+encodedIDEnd).Draw(t, "at")
		c := rapid.SampledFrom([]byte(alphabet)).Draw(t, "character")
		changed := token[:at] + string(c) + token[at+1:]
		if tokens.Issued(changed) != (changed == token) {
			t.Fatalf("%s, changed from %s", changed, token)
		}
	})
}

func FuzzIssued(f *testing.F) {
	tokens := accessTokensOf(f, testIssuer, 1)
	genuine := jwtOf(f, Claims{ID: strings.Repeat("A", encodedSize)}, "")
	f.Add(genuine)
	f.Add(AccessPrefix + strings.Repeat("A", encodedSize))
	f.Add("eyJhbGciOi..")
	f.Fuzz(func(t *testing.T, token string) {
		if tokens.Issued(token) {
			t.Errorf("made up: %q", token)
		}
		if HasAccessTokenForm(token) && !IsAccessToken(token) {
			t.Errorf("form and kind differ: %q", token)
		}
	})
}

func BenchmarkIssuedJWT(b *testing.B) {
	tokens := accessTokensOf(b, testIssuer, 1)
	token := jwtOf(b, tokens.NewClaims(Claims{Issuer: testIssuer, Subject: "s"}, Contents{}), "")
	b.ReportAllocs()
	for b.Loop() {
		if !tokens.Issued(token) {
			b.Fatal("not recognized")
		}
	}
}
