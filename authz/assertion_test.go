package authz

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
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

// claims of the client signer at the start of the lab, with changes; nil removes.
func claims(changes ...any) map[string]any {
	c := map[string]any{
		"iss": "signer", "sub": "signer", "aud": labIssuer, "jti": rand.Text(),
		"exp": labStart.Add(time.Minute).Unix(), "iat": labStart.Unix(),
	}
	for i := 0; i < len(changes); i += 2 {
		c[changes[i].(string)] = changes[i+1]
		if changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

// assertionLab is a lab with the client signer, whose keys are the set.
func assertionLab(t testing.TB, m ClientMetadata) *lab {
	m.RedirectURIs, m.TokenEndpointAuthMethod = []string{labRedirect}, AuthPrivateKeyJWT
	return newLab(t, func(c *Config) { c.Clients = append(c.Clients, Client{ID: "signer", Metadata: m}) })
}

func (l *lab) assert(assertion string, parameters ...string) error {
	_, err := l.authenticate("192.0.2.1", nil, append([]string{"client_assertion_type", assertionType, "client_assertion", assertion}, parameters...)...)
	return err
}

func TestAssertionAlgorithms_C09(t *testing.T) {
	for _, alg := range assertionAlgorithms {
		t.Run(string(alg), func(t *testing.T) {
			s := newSigner(t, alg, "k1")
			l := assertionLab(t, ClientMetadata{JWKS: keySet(t, newSigner(t, jose.ES256, "k0").public(), s.public())})
			if err := l.assert(s.sign(t, claims())); err != nil {
				t.Errorf("named key: %v", err)
			}
			s.kid = ""
			if err := l.assert(s.sign(t, claims())); err != nil {
				t.Errorf("no key named: %v", err)
			}
			s.kid = "k0"
			if err := l.assert(s.sign(t, claims())); err == nil {
				t.Error("another key named")
			}
			s.kid = "unknown"
			if err := l.assert(s.sign(t, claims())); err == nil {
				t.Error("unknown key named")
			}
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
	l := assertionLab(t, ClientMetadata{JWKS: set})
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
	for name, assertion := range map[string]string{
		"none":               b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + ".",
		"HS256, public key":  sign(t, jose.HS256, publicDER, claims()),
		"RS256, 1024 bits":   sign(t, jose.RS256, jose.JSONWebKey{Key: weak, KeyID: "weak"}, claims()),
		"RS512":              sign(t, jose.RS512, jose.JSONWebKey{Key: rs.private, KeyID: "rs"}, claims()),
		"ES384":              p384.sign(t, claims()),
		"stranger's key":     stranger.sign(t, claims()),
		"key in the header":  withJWK,
		"RSA key for ES256":  b64([]byte(`{"alg":"ES256","kid":"rs"}`)) + "." + b64(payload) + "." + b64(make([]byte, 64)),
		"changed header":     b64([]byte(`{"alg":"ES256","kid":"ec","x":1}`)) + "." + body + "." + signature,
		"changed claims":     header + "." + b64(payload) + "." + signature,
		"zero signature":     header + "." + body + "." + b64(make([]byte, 64)),
		"no signature":       header + "." + body + ".",
		"JSON serialization": `{"payload":"` + body + `","protected":"` + header + `","signature":"` + signature + `"}`,
		"unknown critical":   b64([]byte(`{"alg":"ES256","kid":"ec","crit":["x"],"x":1}`)) + "." + body + "." + signature,
		"garbage":            "x.y.z",
		"empty":              "",
		"too long":           strings.Repeat("a", maxAssertionLen+1),
	} {
		t.Run(name, func(t *testing.T) {
			l.as.deps.Limiter = NewLimiter(100)
			if err := l.assert(assertion, "client_id", "signer"); err == nil || asError(err).Status != http.StatusUnauthorized {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := l.assert(good); err != nil {
		t.Errorf("the genuine one: %v", err)
	}
}

func TestAssertionClaims(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	at := func(d time.Duration) int64 { return labStart.Add(d).Unix() }
	for name, tc := range map[string]struct {
		claims any
		ok     bool
	}{
		"issuer as audience":                  {claims(), true},
		"C07 token endpoint as audience":      {claims("aud", labIssuer+TokenPath), true},
		"C07 audience in a list":              {claims("aud", []string{labIssuer}), false},
		"C07 one audience more":               {claims("aud", []string{labIssuer, "https://other.example"}), false},
		"C07 another server's token endpoint": {claims("aud", "https://other.example/token"), false},
		"C07 issuer with a slash":             {claims("aud", labIssuer+"/"), false},
		"C07 token endpoint with a query":     {claims("aud", labIssuer+TokenPath+"?x"), false},
		"C07 no audience":                     {claims("aud", nil), false},
		"C10 iss is another":                  {claims("iss", "app"), false},
		"C10 sub is another":                  {claims("sub", "app"), false},
		"C10 no iss":                          {claims("iss", nil), false},
		"C10 no sub":                          {claims("sub", nil), false},
		"C08 no jti":                          {claims("jti", nil), false},
		"C08 empty jti":                       {claims("jti", ""), false},
		"C08 long jti":                        {claims("jti", strings.Repeat("x", 300)), false},
		"C08 no exp":                          {claims("exp", nil), false},
		"C08 five minutes":                    {claims("exp", at(5*time.Minute)), true},
		"C08 five minutes and a slow clock":   {claims("exp", at(5*time.Minute+30*time.Second)), true},
		"C08 six minutes":                     {claims("exp", at(6*time.Minute)), false},
		"C08 past":                            {claims("exp", at(-time.Minute)), false},
		"C08 just past, clocks differ":        {claims("exp", at(-20*time.Second)), true},
		"exp in a fraction":                   {claims("exp", float64(at(time.Minute))+0.5), true},
		"exp as text":                         {claims("exp", "2030"), false},
		"exp beyond time":                     {claims("exp", 1e300), false},
		"exp before time":                     {claims("exp", -1e300), false},
		"nbf in the future":                   {claims("nbf", at(2*time.Minute)), false},
		"iat in the future":                   {claims("iat", at(2*time.Minute)), false},
		"no iat":                              {claims("iat", nil), true},
		"G08 claims twice":                    {`{"iss":"signer","sub":"signer","aud":"` + labIssuer + `","AUD":"x","jti":"1","exp":` + fmt.Sprint(at(time.Minute)) + `}`, false},
		"no JSON":                             {"x", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := assertionLab(t, ClientMetadata{JWKS: keySet(t, s.public())})
			err := l.assert(s.sign(t, tc.claims), "client_id", "signer")
			if (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
			if err != nil && asError(err).Status != http.StatusUnauthorized {
				t.Errorf("status %d", asError(err).Status)
			}
		})
	}
	t.Run("C10 client_id is another client", func(t *testing.T) {
		l := assertionLab(t, ClientMetadata{JWKS: keySet(t, s.public())})
		l.reload(func(c *Config) {
			other := c.Clients[len(c.Clients)-1]
			other.ID = "other"
			c.Clients = append(c.Clients, other)
		})
		if err := l.assert(s.sign(t, claims()), "client_id", "other"); err == nil {
			t.Error("accepted")
		}
	})
}

func TestAssertionReplay_C08(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	l := assertionLab(t, ClientMetadata{JWKS: keySet(t, s.public())})
	assertion := s.sign(t, claims("jti", "once"))
	if err := l.assert(assertion); err != nil {
		t.Fatal(err)
	}
	if err := l.assert(assertion); err == nil {
		t.Error("the same assertion twice")
	}
	if err := l.assert(s.sign(t, claims("jti", "once", "iat", nil))); err == nil {
		t.Error("another assertion with the same jti")
	}
	// Another instance on the same store.
	l.reload(func(*Config) {})
	if err := l.assert(assertion); err == nil {
		t.Error("the same assertion at another instance")
	}
	// As long as the assertion passes by time, its use is remembered.
	l.advance(time.Minute + assertionSkew - time.Second)
	if _, err := l.store.Sweep(context.Background(), l.time()); err != nil {
		t.Fatal(err)
	}
	if err := l.assert(assertion); err == nil {
		t.Error("the same assertion in its last second")
	}
	// What is not signed by the client uses up nothing.
	stranger := newSigner(t, jose.ES256, "k")
	victim := claims("jti", "mine", "exp", l.time().Add(time.Minute).Unix())
	if err := l.assert(stranger.sign(t, maps.Clone(victim))); err == nil {
		t.Error("a stranger's assertion")
	}
	if err := l.assert(s.sign(t, victim)); err != nil {
		t.Errorf("a stranger used up the client's jti: %v", err)
	}
}

func TestAssertionStoreFails_E16(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	l := assertionLab(t, ClientMetadata{JWKS: keySet(t, s.public())})
	l.store.failing("UseOnce", func() {
		if err := l.assert(s.sign(t, claims())); !errors.Is(err, errDisk) || asError(err).Status != http.StatusServiceUnavailable {
			t.Errorf("got %v", err)
		}
	})
}

// A client behind its metadata document, with its keys elsewhere, as ChatGPT does it.
func TestKeysFromURI_AS28(t *testing.T) {
	h := newHost(t)
	first, second := newSigner(t, jose.ES256, "k1"), newSigner(t, jose.ES256, "k2")
	l := newLab(t)
	l.allowLoopback()
	h.publish("/jwks", string(keySet(t, first.public())))
	id := h.publish("/c", `{"client_id":"$ID","client_name":"ChatGPT","redirect_uris":["`+labRedirect+`"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://keys.example/jwks"}`)
	// The document may only name https; here the keys come from this machine.
	c, err := l.as.clients.lookup(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c.Metadata.JWKSURI = h.url + "/jwks"
	fetches := func() int32 { return h.hits.Load() - 1 }
	assertAs := func(s signer) error {
		exp := l.time().Add(time.Minute).Unix()
		return l.assert(s.sign(t, claims("iss", id, "sub", id, "exp", exp, "iat", exp-60)))
	}
	if _, err := l.authenticate("192.0.2.1", nil, "client_id", id); err == nil {
		t.Error("AS-28: the client need not authenticate")
	}
	for range 3 {
		if err := assertAs(first); err != nil {
			t.Fatal(err)
		}
	}
	if fetches() != 1 {
		t.Errorf("%d fetches of the keys", fetches())
	}
	for range 3 {
		if err := assertAs(second); err == nil {
			t.Error("an unknown key")
		}
	}
	if fetches() != 1 {
		t.Errorf("J11: %d fetches within a minute", fetches())
	}
	l.advance(minFresh + time.Second)
	h.handle("/jwks", http.NotFound)
	if err := assertAs(second); err == nil {
		t.Error("an unknown key while the keys cannot be had")
	}
	if err := assertAs(first); err != nil {
		t.Errorf("a stranger's unknown key ended the use of a good one: %v", err)
	}
	h.publish("/jwks", string(keySet(t, second.public())))
	if c, err = l.as.clients.lookup(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := assertAs(second); err != nil {
		t.Errorf("after the keys were rotated: %v", err)
	}
	if err := assertAs(first); err == nil {
		t.Error("a withdrawn key")
	}
}

func TestHostileKeys_J11(t *testing.T) {
	h := newHost(t)
	s := newSigner(t, jose.ES256, "k")
	l := newLab(t)
	l.allowLoopback()
	good := string(keySet(t, s.public()))
	for path, serve := range map[string]http.HandlerFunc{
		"/large": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"keys":[],"x":"%s"}`, strings.Repeat("x", maxKeySetLen))
		},
		"/redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks", http.StatusFound) },
		"/private": func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.private}}})
		},
		"/twice": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[],"Keys":`+good[8:]) },
	} {
		h.handle(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			serve(w, r)
		})
	}
	h.publish("/jwks", good)
	for _, path := range []string{"/large", "/redirect", "/private", "/twice", "/missing"} {
		if keys, err := l.as.clients.keySets.get(t.Context(), h.url+path); err == nil {
			t.Errorf("%s: %d keys", path, len(keys))
		}
	}
	if _, err := l.as.clients.keySets.get(t.Context(), h.url+"/jwks"); err != nil {
		t.Error(err)
	}
}

// The keys' address is a stranger's word: where it leads is checked when it is used.
func TestKeysFromPrivateAddress_G06(t *testing.T) {
	h := newHost(t)
	s := newSigner(t, jose.ES256, "k")
	h.publish("/jwks", string(keySet(t, s.public())))
	l := assertionLab(t, ClientMetadata{JWKSURI: strings.Replace(h.url, "http://", "https://", 1) + "/jwks"})
	if err := l.assert(s.sign(t, claims())); err == nil || asError(err).Status != http.StatusUnauthorized {
		t.Errorf("got %v", err)
	}
	if h.hits.Load() != 0 {
		t.Error("a request arrived")
	}
}

func FuzzAssertion(f *testing.F) {
	s := newSigner(f, jose.ES256, "k")
	l := assertionLab(f, ClientMetadata{JWKS: keySet(f, s.public())})
	good := s.sign(f, claims())
	f.Add(good)
	f.Add("e30.e30.e30")
	f.Add(sign(f, jose.HS256, []byte(strings.Repeat("k", 32)), claims()))
	c, err := l.as.clients.lookup(f.Context(), "signer")
	if err != nil {
		f.Fatal(err)
	}
	if err := l.as.verifyAssertion(f.Context(), c, good); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, assertion string) {
		// The only signed assertion was used: nothing may pass.
		if err := l.as.verifyAssertion(context.Background(), c, assertion); err == nil {
			t.Fatalf("%q passed", assertion)
		}
	})
}

func BenchmarkAssertion(b *testing.B) {
	for _, alg := range assertionAlgorithms {
		b.Run(string(alg), func(b *testing.B) {
			s := newSigner(b, alg, "k")
			l := assertionLab(b, ClientMetadata{JWKS: keySet(b, s.public())})
			jws, err := parseAssertion(s.sign(b, claims()))
			if err != nil {
				b.Fatal(err)
			}
			c, _ := l.as.clients.lookup(b.Context(), "signer")
			for b.Loop() {
				keys, err := l.as.clientKeys(b.Context(), c, "k")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := verifyWithAny(jws, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
