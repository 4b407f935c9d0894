package dashboard

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

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const (
	testIssuer   = "https://app.example.com"
	testAudience = "mcp"
	// testSecret is of a dashboard that shares one.
	testSecret = "uX3-kf8aQ2m_Wz71uX3-kf8aQ2m_Wz71"
)

var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// dashboards signs as one, under the name of a key.
type signer struct {
	alg     jose.SignatureAlgorithm
	private any
	id      string
}

func newSigner(t testing.TB, alg jose.SignatureAlgorithm, id string) signer {
	t.Helper()
	s := signer{alg: alg, id: id}
	var err error
	switch alg {
	case jose.ES256:
		s.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		s.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, s.private, err = ed25519.GenerateKey(rand.Reader)
	case jose.HS256:
		s.private = []byte(testSecret)
	default:
		s.private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.(crypto.Signer).Public(), KeyID: s.id}
}

// sign signs claims, which are JSON already if they are a text. Header members come
// in pairs.
func (s signer) sign(t testing.TB, claims any, header ...any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if text, ok := claims.(string); ok {
		payload = []byte(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	options := new(jose.SignerOptions).WithType("JWT")
	for i := 0; i < len(header); i += 2 {
		options.WithHeader(jose.HeaderKey(header[i].(string)), header[i+1])
		if header[i+1] == nil {
			delete(options.ExtraHeaders, jose.HeaderKey(header[i].(string)))
		}
	}
	var key any = jose.JSONWebKey{Key: s.private, KeyID: s.id}
	if s.id == "" {
		key = s.private
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := made.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// claims are of a token with which nothing is wrong. Changes come in pairs; nil
// removes.
func claims(changes ...any) map[string]any {
	c := map[string]any{
		"iss": testIssuer, "aud": testAudience, "sub": "user-1", "email": "jane@acme.com", "displayName": "Jane", "role": "admin",
		"exp": testNow.Add(5 * time.Minute).Unix(), "iat": testNow.Unix(),
	}
	for i := 0; i < len(changes); i += 2 {
		c[changes[i].(string)] = changes[i+1]
		if changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

// trusting returns the verifier for a dashboard with these public keys.
func trusting(keys ...jose.JSONWebKey) *Verifier {
	return New(Trust{Issuer: testIssuer, Audience: testAudience, Keys: keys, Claims: []string{"role", "displayName", "email", "groups"}},
		nil, func() time.Time { return testNow })
}

func sharing(secret string) *Verifier {
	return New(Trust{Issuer: testIssuer, Audience: testAudience, Secret: []byte(secret)}, nil, func() time.Time { return testNow })
}

func TestVerify(t *testing.T) {
	for _, alg := range rules.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			s := newSigner(t, alg, "k")
			p, err := trusting(newSigner(t, jose.ES256, "other").public(), s.public()).Verify(t.Context(), s.sign(t, claims()))
			if err != nil {
				t.Fatal(err)
			}
			extra := fmt.Sprint(slicesOf(p.Claims.Extra))
			if p.Subject != "user-1" || p.Claims.Email != "jane@acme.com" || p.Claims.Name != "Jane" || extra != `map[displayName:"Jane" role:"admin"]` {
				t.Errorf("%+v, claims %+v, extra %s", p, p.Claims, extra)
			}
		})
	}
	if p, err := sharing(testSecret).Verify(t.Context(), newSigner(t, jose.HS256, "").sign(t, claims())); err != nil || p.Subject != "user-1" {
		t.Errorf("HS256: %+v, %v", p, err)
	}
}

// A public key in PEM has no name, and most applications name the one they sign with.
func TestKeyWithoutName(t *testing.T) {
	s, other := newSigner(t, jose.ES256, "2026-11"), newSigner(t, jose.ES256, "2026-11")
	unnamed := s.public()
	unnamed.KeyID = ""
	if p, err := trusting(unnamed).Verify(t.Context(), s.sign(t, claims())); err != nil || p.Subject != "user-1" {
		t.Errorf("got %+v, %v", p, err)
	}
	if p, err := trusting(unnamed).Verify(t.Context(), other.sign(t, claims())); !errors.Is(err, ErrToken) {
		t.Errorf("signed with another key: got %+v, %v", p, err)
	}
}

func slicesOf(extra map[string]json.RawMessage) map[string]string {
	texts := map[string]string{}
	for name, raw := range maps.All(extra) {
		texts[name] = string(raw)
	}
	return texts
}

// What a dashboard says in its token is taken or refused by each claim. One minute
// of difference between the clocks is nothing.
func TestClaims_J04_J05_J06_J09(t *testing.T) {
	at := func(d time.Duration) int64 { return testNow.Add(d).Unix() }
	s := newSigner(t, jose.ES256, "k")
	v := trusting(s.public())
	for name, tt := range map[string]struct {
		claims any
		why    string // empty if it is good
	}{
		"good":                    {claims(), ""},
		"another iss":             {claims("iss", "https://evil.example"), "iss"},
		"iss with a slash":        {claims("iss", testIssuer+"/"), "iss"},
		"no iss":                  {claims("iss", nil), "iss"},
		"another aud":             {claims("aud", "other"), "aud"},
		"no aud":                  {claims("aud", nil), "aud"},
		"empty aud":               {claims("aud", ""), "aud"},
		"aud among others":        {claims("aud", []string{"other", testAudience}), ""},
		"aud of others":           {claims("aud", []string{"other", "mcp2"}), "aud"},
		"aud is a number":         {claims("aud", 1), "wrong type: aud"},
		"no exp":                  {claims("exp", nil), "no exp"},
		"exp is a text":           {claims("exp", "tomorrow"), "wrong type: exp"},
		"exp is null":             {claims("exp", json.RawMessage("null")), "no exp"},
		"expired a minute ago":    {claims("exp", at(-time.Minute)), "expired"},
		"expired 59 s ago":        {claims("exp", at(-59*time.Second)), ""},
		"exp long ago":            {claims("exp", -1e300), "expired"},
		"exp far away":            {claims("exp", 1e300), ""},
		"nbf in a minute":         {claims("nbf", at(time.Minute)), ""},
		"nbf in 61 s":             {claims("nbf", at(61*time.Second)), "nbf"},
		"iat in a minute":         {claims("iat", at(time.Minute)), ""},
		"iat in 61 s":             {claims("iat", at(61*time.Second)), "iat"},
		"no iat":                  {claims("iat", nil), ""},
		"no sub":                  {claims("sub", nil), "sub"},
		"empty sub":               {claims("sub", ""), "sub"},
		"sub is a number":         {claims("sub", 1), "wrong type: sub"},
		"sub has a space":         {claims("sub", "user 1"), "sub"},
		"sub has a zero width":    {claims("sub", "user\u200b1"), "sub"},
		"sub has a line":          {claims("sub", "user\n1"), "sub"},
		"sub of 255":              {claims("sub", strings.Repeat("ü", 255)), ""},
		"sub of 256":              {claims("sub", strings.Repeat("x", 256)), "sub"},
		"sub twice":               {`{"iss":"` + testIssuer + `","aud":"mcp","exp":9999999999,"sub":"a","sub":"b"}`, "repeat"},
		"SUB besides sub":         {`{"iss":"` + testIssuer + `","aud":"mcp","exp":9999999999,"sub":"a","SUB":"b"}`, "repeat"},
		"a list":                  {`[]`, "object"},
		"no JSON":                 {`x`, "object"},
		"claims that are too big": {claims("groups", []string{strings.Repeat("g", maxClaims)}), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := v.Verify(t.Context(), s.sign(t, tt.claims))
			if tt.why == "" && err != nil || tt.why != "" && (!errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tt.why)) {
				t.Errorf("%+v, %v; want %q", p, err, tt.why)
			}
		})
	}
}

// An address counts unless the dashboard says that it is not verified; groups are a
// list of texts; of another type nothing is kept.
func TestKeptClaims_J07_J09(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	v := trusting(s.public())
	for name, tt := range map[string]struct {
		claims        map[string]any
		email, groups string
	}{
		"no word on it":        {claims(), "jane@acme.com", "[]"},
		"verified":             {claims("email_verified", true), "jane@acme.com", "[]"},
		"not verified":         {claims("email_verified", false), "", "[]"},
		"verified, as a text":  {claims("email_verified", "true"), "", "[]"},
		"verified, as number":  {claims("email_verified", 1), "", "[]"},
		"email is a list":      {claims("email", []string{"a@b.example"}), "", "[]"},
		"groups":               {claims("groups", []string{"staff", "", "ops"}), "jane@acme.com", "[staff ops]"},
		"groups is a text":     {claims("groups", "admin"), "jane@acme.com", "[]"},
		"groups of other kind": {claims("groups", []any{"staff", 1}), "jane@acme.com", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := v.Verify(t.Context(), s.sign(t, tt.claims))
			if err != nil || p.Claims.Email != tt.email || fmt.Sprint(p.Claims.Groups) != tt.groups {
				t.Errorf("%v, %+v; want %q, %s", err, p.Claims, tt.email, tt.groups)
			}
		})
	}
}

// Nothing but a token that a key of the dashboard has signed is taken, of its own
// kind and with an algorithm of that kind of key.
func TestForgedToken_J03_C09(t *testing.T) {
	ec, rs := newSigner(t, jose.ES256, "ec"), newSigner(t, jose.RS256, "rs")
	public := trusting(ec.public(), rs.public())
	der, err := x509.MarshalPKIXPublicKey(rs.private.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	payload, err := json.Marshal(claims())
	if err != nil {
		t.Fatal(err)
	}
	good := ec.sign(t, claims())
	parts := strings.Split(good, ".")
	confused := signer{jose.HS256, der, "rs"}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		v     *Verifier
		token string
		why   string
	}{
		"none":                          {public, b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + ".", "algorithm"},
		"HS256 with the public key":     {public, confused.sign(t, claims()), "algorithm"},
		"HS256 where keys are public":   {public, newSigner(t, jose.HS256, "").sign(t, claims()), "algorithm"},
		"ES256 where there is a secret": {sharing(testSecret), good, "algorithm"},
		"another secret":                {sharing(strings.Repeat("x", 32)), newSigner(t, jose.HS256, "").sign(t, claims()), "signature"},
		"none where there is a secret":  {sharing(testSecret), b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + ".", "algorithm"},
		"a stranger's key":              {public, newSigner(t, jose.ES256, "ec").sign(t, claims()), "signature"},
		"unknown kid":                   {public, newSigner(t, jose.ES256, "x").sign(t, claims()), "signature"},
		"another key's kid":             {public, signer{jose.ES256, ec.private, "rs"}.sign(t, claims()), "signature"},
		"1024 bits":                     {trusting(ec.public(), jose.JSONWebKey{Key: weak.Public(), KeyID: "w"}), signer{jose.RS256, weak, "w"}.sign(t, claims()), "signature"},
		"RS512":                         {public, signer{jose.RS512, rs.private, "rs"}.sign(t, claims()), "algorithm"},
		"changed claims":                {public, parts[0] + "." + b64(payload[:len(payload)-1]) + "." + parts[2], "signature"},
		"no signature":                  {public, parts[0] + "." + parts[1] + ".", "signature"},
		"unknown critical":              {public, ec.sign(t, claims(), "crit", []string{"x"}, "x", 1), ""},
		"typ of an access token":        {public, ec.sign(t, claims(), "typ", "at+jwt"), "typ"},
		"typ with application/":         {public, ec.sign(t, claims(), "typ", "application/at+jwt"), "typ"},
		"typ of our identity statement": {public, ec.sign(t, claims(), "typ", "mcp-identity+jwt"), "typ"},
		"typ of a logout token":         {public, ec.sign(t, claims(), "typ", "logout+jwt"), "typ"},
		"typ is a number":               {public, ec.sign(t, claims(), "typ", 1), ""},
		"an opaque token of ours":       {public, "mcpat_" + strings.Repeat("a", 43), "not a signed JWT"},
		"garbage":                       {public, "x.y.z", "not a signed JWT"},
		"empty":                         {public, "", "not a signed JWT"},
		"encrypted":                     {public, "a.b.c.d.e", "not a signed JWT"},
		"longer than allowed":           {public, strings.Repeat("a", maxLen+1), "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tt.v.Verify(t.Context(), tt.token)
			if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tt.why) || p.Subject != "" {
				t.Errorf("%+v, %v; want %q", p, err, tt.why)
			}
			if err != nil && len(tt.token) > 10 && strings.Contains(err.Error(), tt.token[:10]) {
				t.Errorf("the error has the token in it: %v", err)
			}
		})
	}
	for _, typ := range []any{nil, "JWT", "jwt", "application/jwt"} {
		if _, err := public.Verify(t.Context(), ec.sign(t, claims(), "typ", typ)); err != nil {
			t.Errorf("typ %v: %v", typ, err)
		}
	}
}

// keyHost publishes the keys of a dashboard, and counts who asks.
func keyHost(t *testing.T) (*oauthtest.Host, *oauthtest.Clock, *Verifier) {
	host, clock := oauthtest.NewHost(t), oauthtest.NewClock(testNow)
	reach := egress.New(egress.Options{Anywhere: true})
	return host, clock, New(Trust{Issuer: testIssuer, Audience: testAudience, JWKSURI: host.URL + "/jwks"}, reach.FetchJSON, clock.Now)
}

func publish(t *testing.T, host *oauthtest.Host, keys ...jose.JSONWebKey) {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	host.Publish("/jwks", string(text))
}

// Keys at an address are found when they are new, and however many unknown ones
// are named, the address is asked once a minute.
func TestKeysAtAnAddress_J11(t *testing.T) {
	host, clock, v := keyHost(t)
	old, next := newSigner(t, jose.ES256, "old"), newSigner(t, jose.EdDSA, "next")
	publish(t, host, old.public())
	if _, err := v.Verify(t.Context(), old.sign(t, claims())); err != nil {
		t.Fatal(err)
	}
	publish(t, host, old.public(), next.public())
	for i := range 100 {
		if _, err := v.Verify(t.Context(), newSigner(t, jose.EdDSA, fmt.Sprint(i)).sign(t, claims())); !errors.Is(err, ErrToken) {
			t.Fatal(err)
		}
	}
	if host.Hits() != 1 {
		t.Errorf("asked %d times, want once", host.Hits())
	}
	clock.Advance(time.Minute)
	for _, s := range []signer{next, old} {
		if _, err := v.Verify(t.Context(), s.sign(t, claims())); err != nil {
			t.Errorf("%s: %v", s.id, err)
		}
	}
	if host.Hits() != 2 {
		t.Errorf("asked %d times, want twice", host.Hits())
	}
}

// Keys that cannot be had are no word about the token: it may be good.
func TestKeysCannotBeHad_J11(t *testing.T) {
	s := newSigner(t, jose.ES256, "k")
	for name, page := range map[string]http.HandlerFunc{
		"down": oauthtest.Answer(http.StatusBadGateway, "text/html", ""),
		"50 MiB": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 50 {
				if _, err := w.Write([]byte(strings.Repeat(" ", 1<<20))); err != nil {
					return
				}
			}
		},
		"redirect":       oauthtest.Redirect("/elsewhere"),
		"a private key":  oauthtest.Answer(http.StatusOK, "application/json", `{"keys":[{"kty":"oct","k":"AAAA"}]}`),
		"nothing usable": oauthtest.Answer(http.StatusOK, "application/json", `{"keys":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			host, _, v := keyHost(t)
			host.Page("/jwks", page)
			if p, err := v.Verify(t.Context(), s.sign(t, claims())); err == nil || errors.Is(err, ErrToken) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f, jose.ES256, "k")
	v := trusting(s.public())
	good := s.sign(f, claims())
	f.Add(good)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := v.Verify(context.Background(), token)
		if err == nil && (token != good || p.Subject != "user-1") {
			t.Fatalf("%q passed as %q", token, p.Subject)
		}
	})
}
