package clients

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
)

// signer is a client's key.
type signer struct {
	private crypto.Signer
	alg     jose.SignatureAlgorithm
	kid     string
}

func newSigner(t testing.TB, alg jose.SignatureAlgorithm, kid string) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, alg, kid}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.Public(), KeyID: s.kid}
}

func keySet(t testing.TB, keys ...jose.JSONWebKey) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sign returns a compact JWS over the claims.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := claims.(string)
	if !ok {
		raw, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		text = string(raw)
	}
	jws, err := s.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func (s signer) sign(t testing.TB, claims any) string {
	t.Helper()
	return sign(t, s.alg, jose.JSONWebKey{Key: s.private, KeyID: s.kid}, claims)
}

// claims of the client signer at the start of a test, with changes; nil removes.
func claims(changes ...any) map[string]any {
	c := map[string]any{
		"iss": "signer", "sub": "signer", "aud": testIssuer, "jti": rand.Text(),
		"exp": testStart.Add(time.Minute).Unix(), "iat": testStart.Unix(),
	}
	for i := 0; i < len(changes); i += 2 {
		c[changes[i].(string)] = changes[i+1]
		if changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

// newAssertionSite returns a site with the client signer, whose keys are the set.
func newAssertionSite(t testing.TB, m oauth.ClientMetadata) *testSite {
	m.RedirectURIs, m.TokenEndpointAuthMethod = []string{testRedirect}, oauth.AuthPrivateKeyJWT
	return newTestSite(t, func(c *siteConfig) { c.Clients = append(c.Clients, Client{ID: "signer", Metadata: m}) })
}

func (ts *testSite) assert(assertion string, parameters ...string) error {
	_, err := ts.authenticate("192.0.2.1", nil, append([]string{"client_assertion_type", oauth.JWTBearerAssertion, "client_assertion", assertion}, parameters...)...)
	return err
}

func TestAssertionAlgorithms_C09(t *testing.T) {
	for _, alg := range AssertionAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			s := newSigner(t, alg, "k1")
			ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, newSigner(t, jose.ES256, "k0").public(), s.public())})
			if err := ts.assert(s.sign(t, claims())); err != nil {
				t.Errorf("named key: %v", err)
			}
			s.kid = ""
			if err := ts.assert(s.sign(t, claims())); err != nil {
				t.Errorf("no key named: %v", err)
			}
			s.kid = "k0"
			refusedBecause(t, ts.assert(s.sign(t, claims())), "invalid_client", "signed by none of the keys")
			s.kid = "unknown"
			refusedBecause(t, ts.assert(s.sign(t, claims())), "invalid_client", "signed by none of the keys")
		})
	}
}

func TestForgedAssertion_C09(t *testing.T) {
	ec, rs := newSigner(t, jose.ES256, "ec"), newSigner(t, jose.RS256, "rs")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384 := newSigner(t, jose.ES384, "p384")
	set := keySet(t, ec.public(), rs.public(), jose.JSONWebKey{Key: weak.Public(), KeyID: "weak"}, p384.public(),
		jose.JSONWebKey{Key: newSigner(t, jose.ES256, "").private.Public(), KeyID: "reserved", Algorithm: "RS256"})
	ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: set})
	b64 := base64.RawURLEncoding.EncodeToString
	payload, _ := json.Marshal(claims())
	publicDER, err := x509.MarshalPKIXPublicKey(rs.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := ec.sign(t, claims())
	header, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	stranger := newSigner(t, jose.ES256, "ec")
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: stranger.private}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	jws, err := embedded.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	withJWK, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ assertion, why string }{
		"none":               {b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + ".", "unexpected signature algorithm"},
		"HS256, public key":  {sign(t, jose.HS256, publicDER, claims()), "unexpected signature algorithm"},
		"RS256, 1024 bits":   {sign(t, jose.RS256, jose.JSONWebKey{Key: weak, KeyID: "weak"}, claims()), "signed by none of the keys"},
		"RS512":              {sign(t, jose.RS512, jose.JSONWebKey{Key: rs.private, KeyID: "rs"}, claims()), "unexpected signature algorithm"},
		"ES384":              {p384.sign(t, claims()), "unexpected signature algorithm"},
		"stranger's key":     {stranger.sign(t, claims()), "signed by none of the keys"},
		"key in the header":  {withJWK, "signed by none of the keys"},
		"RSA key for ES256":  {b64([]byte(`{"alg":"ES256","kid":"rs"}`)) + "." + b64(payload) + "." + b64(make([]byte, 64)), "signed by none of the keys"},
		"changed header":     {b64([]byte(`{"alg":"ES256","kid":"ec","x":1}`)) + "." + body + "." + signature, "signed by none of the keys"},
		"changed claims":     {header + "." + b64(payload) + "." + signature, "signed by none of the keys"},
		"zero signature":     {header + "." + body + "." + b64(make([]byte, 64)), "signed by none of the keys"},
		"no signature":       {header + "." + body + ".", "signed by none of the keys"},
		"JSON serialization": {`{"payload":"` + body + `","protected":"` + header + `","signature":"` + signature + `"}`, "must have three parts"},
		"unknown critical":   {b64([]byte(`{"alg":"ES256","kid":"ec","crit":["x"],"x":1}`)) + "." + body + "." + signature, "signed by none of the keys"},
		"garbage":            {"x.y.z", "illegal base64"},
		"empty":              {"", "empty input"},
		"too long":           {strings.Repeat("a", maxAssertionLen+1), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			ts.limiter = ratelimit.New(100)
			refusedBecause(t, ts.assert(tc.assertion, "client_id", "signer"), "invalid_client", tc.why)
		})
	}
	if err := ts.assert(good); err != nil {
		t.Errorf("the genuine one: %v", err)
	}
}

func FuzzAssertion(f *testing.F) {
	s := newSigner(f, jose.ES256, "k")
	ts := newAssertionSite(f, oauth.ClientMetadata{JWKS: keySet(f, s.public())})
	good := s.sign(f, claims())
	f.Add(good)
	f.Add("e30.e30.e30")
	f.Add(sign(f, jose.HS256, []byte(strings.Repeat("k", 32)), claims()))
	if err := ts.assert(good); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, assertion string) {
		// The only signed assertion was used: nothing may pass.
		if err := ts.assert(assertion); err == nil {
			t.Fatalf("%q passed", assertion)
		}
	})
}

func BenchmarkAssertion(b *testing.B) {
	for _, alg := range AssertionAlgorithms {
		b.Run(string(alg), func(b *testing.B) {
			s := newSigner(b, alg, "k")
			ts := newAssertionSite(b, oauth.ClientMetadata{JWKS: keySet(b, s.public())})
			jws, err := parseAssertion(s.sign(b, claims()))
			if err != nil {
				b.Fatal(err)
			}
			c, _ := ts.lookup("signer")
			for b.Loop() {
				keys, err := ts.authenticator.clientKeys(b.Context(), c, "k", stranger)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := jwks.Verify(jws, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
