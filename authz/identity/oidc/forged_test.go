package oidc

import (
	"crypto/ecdsa"
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

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

type object = oauthtest.Object

// set returns a change of claims.
func set(name string, value any) func(object) { return func(claims object) { claims[name] = value } }

func inSeconds(name string, seconds int) func(object) {
	return func(claims object) { claims[name] = claims["iat"].(int64) + int64(seconds) }
}

// A hostile provider: of all the ID tokens that it gives out for a login that was
// begun as it should be, only the good ones let somebody in.
func TestForgedIDToken_J01_J03_J04_J05_J06_J09_J14_J15(t *testing.T) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(claims object) string {
		payload, _ := json.Marshal(claims)
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	signedBy := func(alg jose.SignatureAlgorithm, key any) func(*rp) func(object) string {
		return func(*rp) func(object) string {
			return func(claims object) string { return oauthtest.SignedJWT(alg, key, "JWT", claims) }
		}
	}
	const badKey, badAlg = "signed by none of the provider's keys", "an algorithm that is not accepted"
	for _, tt := range []struct {
		id, name string
		options  func(*Options)
		claims   func(object)
		sign     func(*rp) func(object) string
		tokens   func(object)
		code     string // empty for a good one
		why      string
	}{
		{id: "J01", name: "honest"},
		{id: "J01", name: "nonce of another login", claims: set("nonce", "guess"), code: untrusted, why: "nonce"},
		{id: "J01", name: "no nonce", claims: set("nonce", nil), code: untrusted, why: "nonce"},
		{id: "J01", name: "nonce of another type", claims: set("nonce", []string{"x"}), code: untrusted, why: "malformed"},
		{id: "J03", name: "alg none", sign: func(*rp) func(object) string { return unsigned }, code: untrusted, why: badAlg},
		{id: "J03", name: "HS256 with the client secret", sign: signedBy(jose.HS256, []byte(strings.Repeat("s3cret", 8))), code: untrusted, why: badAlg},
		{id: "J03", name: "HS256 with the public key", sign: func(s *rp) func(object) string {
			der, _ := x509.MarshalPKIXPublicKey(s.idp.PublicKey().Key)
			return signedBy(jose.HS256, der)(s)
		}, code: untrusted, why: badAlg},
		{id: "J03", name: "another key", sign: signedBy(jose.ES256, own), code: untrusted, why: badKey},
		{id: "J03", name: "another key of the same name", sign: signedBy(jose.ES256, jose.JSONWebKey{Key: own, KeyID: "idp"}), code: untrusted, why: badKey},
		{id: "J03", name: "a key that it brings along", sign: func(*rp) func(object) string {
			return func(claims object) string {
				signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: own}, &jose.SignerOptions{EmbedJWK: true})
				if err != nil {
					t.Fatal(err)
				}
				payload, _ := json.Marshal(claims)
				jws, err := signer.Sign(payload)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := jws.CompactSerialize()
				return text
			}
		}, code: untrusted, why: badKey},
		{id: "J03", name: "RS256 for a key of ES256", sign: signedBy(jose.RS256, jose.JSONWebKey{Key: weak, KeyID: "idp"}), code: untrusted, why: badKey},
		{id: "J03", name: "an algorithm that the provider does not name", sign: signedBy(jose.PS256, jose.JSONWebKey{Key: weak, KeyID: "idp"}), code: untrusted, why: badAlg},
		{id: "J03", name: "changed after it was signed", sign: func(s *rp) func(object) string {
			return func(claims object) string {
				good := strings.Split(s.idp.Signed(claims), ".")
				claims["sub"] = "admin"
				forged := strings.Split(s.idp.Signed(claims), ".")
				return good[0] + "." + forged[1] + "." + good[2]
			}
		}, code: untrusted, why: badKey},
		{id: "J03", name: "as JSON", sign: func(s *rp) func(object) string {
			return func(claims object) string {
				parts := strings.Split(s.idp.Signed(claims), ".")
				return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
			}
		}, code: untrusted, why: badKey},
		{id: "J03", name: "garbage", sign: func(*rp) func(object) string { return func(object) string { return "a.b.c" } }, code: untrusted, why: "no signed JWT"},
		{id: "J03", name: "too long", claims: set("x", strings.Repeat("x", 46_200)), code: untrusted, why: "longer than"},
		{id: "J04", name: "another client", claims: set("aud", "sibling"), code: untrusted, why: "another client (aud)"},
		{id: "J04", name: "no audience", claims: set("aud", nil), code: untrusted, why: "another client (aud)"},
		{id: "J04", name: "several audiences", claims: set("aud", []string{"sibling", "gateway"}), code: untrusted, why: "azp"},
		{id: "J04", name: "several audiences, made for another", claims: func(c object) { c["aud"], c["azp"] = []string{"sibling", "gateway"}, "sibling" }, code: untrusted, why: "azp"},
		{id: "J04", name: "several audiences, made for us", claims: func(c object) { c["aud"], c["azp"] = []string{"sibling", "gateway"}, "gateway" }},
		{id: "J04", name: "list of one", claims: set("aud", []string{"gateway"})},
		{id: "J04", name: "made for another", claims: set("azp", "sibling"), code: untrusted, why: "azp"},
		{id: "J04", name: "empty azp", claims: set("azp", ""), code: untrusted, why: "azp"},
		{id: "J14", name: "of a sibling application", claims: func(c object) { c["aud"], c["azp"] = "sibling", "sibling" }, code: untrusted, why: "another client"},
		{id: "J05", name: "another issuer", claims: set("iss", "https://evil.example"), code: untrusted, why: "another issuer"},
		{id: "J05", name: "no issuer", claims: set("iss", nil), code: untrusted, why: "another issuer"},
		{id: "J05", name: "issuer with a slash", claims: func(c object) { c["iss"] = c["iss"].(string) + "/" }, code: untrusted, why: "another issuer"},
		{id: "J06", name: "ended", claims: inSeconds("exp", -61), code: untrusted, why: "ended 1m1s ago; are the clocks"},
		{id: "J06", name: "ended a moment ago", claims: inSeconds("exp", -59)},
		{id: "J06", name: "no end", claims: set("exp", nil), code: untrusted, why: "no exp"},
		{id: "J06", name: "of the future", claims: inSeconds("iat", 61), code: untrusted, why: "1m1s in the future; are the clocks"},
		{id: "J06", name: "of the near future", claims: inSeconds("iat", 60)},
		{id: "J06", name: "stale", claims: inSeconds("iat", -961), code: untrusted, why: "was made 16m1s ago"},
		{id: "J06", name: "no iat", claims: set("iat", nil), code: untrusted, why: "no iat"},
		{id: "J06", name: "not yet good", claims: inSeconds("nbf", 61), code: untrusted, why: "nbf"},
		{id: "J06", name: "good soon", claims: inSeconds("nbf", 60)},
		{id: "J06", name: "times of another type", claims: set("exp", "tomorrow"), code: untrusted, why: "malformed"},
		{id: "J06", name: "proved in the future", claims: inSeconds("auth_time", 61), code: untrusted, why: "auth_time"},
		{id: "J06", name: "max_age", options: func(o *Options) { o.MaxAge = time.Hour }, claims: inSeconds("auth_time", -3600)},
		{id: "J06", name: "max_age exceeded", options: func(o *Options) { o.MaxAge = time.Hour }, claims: inSeconds("auth_time", -3661), code: tooOld, why: "1h1m1s ago"},
		{id: "J06", name: "max_age ignored", options: func(o *Options) { o.MaxAge = time.Hour }, claims: set("auth_time", nil), code: tooOld, why: "no auth_time"},
		{id: "J09", name: "empty sub", claims: set("sub", ""), code: untrusted, why: "sub"},
		{id: "J09", name: "no sub", claims: set("sub", nil), code: untrusted, why: "sub"},
		{id: "J09", name: "sub of another type", claims: set("sub", 7), code: untrusted, why: "malformed"},
		{id: "J09", name: "endless sub", claims: set("sub", strings.Repeat("x", 256)), code: untrusted, why: "sub"},
		{id: "J09", name: "a member without a name", claims: set("", 1)},
		{id: "J15", name: "acr", options: func(o *Options) { o.ACRValues = []string{"mfa", "phr"} }, claims: set("acr", "phr")},
		{id: "J15", name: "another acr", options: func(o *Options) { o.ACRValues = []string{"mfa"} }, claims: set("acr", "pwd"), code: tooWeak, why: "none of mfa"},
		{id: "J15", name: "no acr", options: func(o *Options) { o.ACRValues = []string{"mfa"} }, code: tooWeak, why: "none of mfa"},
		{id: "J14", name: "with another access token", claims: set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), code: untrusted, why: "at_hash"},
	} {
		t.Run(tt.id+" "+tt.name, func(t *testing.T) {
			s := newRP(t, tt.options)
			s.idp.Page(oauthtest.OpenIDConfigurationPath, oauthtest.Document(
				oauthtest.With(s.idp.Metadata(), "id_token_signing_alg_values_supported", []string{"RS256", "ES256", "HS256", "none"})))
			s.idp.Claims, s.idp.Tokens = tt.claims, tt.tokens
			if tt.sign != nil {
				s.idp.Sign = tt.sign(s)
			}
			_, err := s.login()
			if tt.code != "" {
				s.refusedAs(err, tt.code, tt.why)
			} else if err != nil {
				t.Errorf("a good ID token: %v", err)
			}
		})
	}
}

// A member that is there twice is read in two ways.
func TestIDTokenReadInOneWay_J03(t *testing.T) {
	s := newRP(t, nil)
	s.idp.Claims = set("SUB", "admin")
	_, err := s.login()
	s.refusedAs(err, untrusted, "repeat, or differ only in case")
}

// Clocks that are two minutes apart, in words.
func TestClocksApart_J06(t *testing.T) {
	s := newRP(t, nil)
	s.idp.Now = func() time.Time { return s.clock.Now().Add(2 * time.Minute) }
	_, err := s.login()
	s.refusedAs(err, untrusted, "is from 2m0s in the future; are the clocks of this machine and the provider right?")
	s.idp.Change(func() { s.idp.Now = func() time.Time { return s.clock.Now().Add(-2 * time.Minute) } })
	s.mustLogin()
}

// What the UserInfo endpoint says is of the person of the ID token, or nobody's.
func TestUserinfo_J12(t *testing.T) {
	yes, no := true, false
	for name, tt := range map[string]struct {
		ask    *bool
		page   any // instead of the honest one
		status int
		code   string // empty: good
		why    string
		groups int
	}{
		"honest":              {&yes, nil, 200, "", "", 1},
		"by itself":           {nil, nil, 200, "", "", 1},
		"off":                 {&no, object{"sub": "admin"}, 200, "", "", 0},
		"of somebody else":    {&yes, object{"sub": "admin", "groups": []string{"staff"}}, 200, untrusted, "somebody else", 0},
		"of nobody":           {&yes, object{"groups": []string{"staff"}}, 200, untrusted, "somebody else", 0},
		"sub of another type": {&yes, object{"sub": 7}, 200, untrusted, "somebody else", 0},
		"protocol claims":     {&yes, object{"sub": "jane", "sid": "x", "aud": "y", "groups": []string{"a", "b"}}, 200, "", "", 2},
		"no JSON":             {&yes, "x", 200, untrusted, "write userinfo off", 0},
		"refused":             {&yes, object{}, 401, untrusted, "status 401", 0},
		"down":                {&yes, object{}, 503, "down", "status 503", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, func(o *Options) { o.Userinfo = tt.ask })
			s.idp.UserinfoOnly = true
			if tt.page != nil {
				body, _ := json.Marshal(tt.page)
				s.idp.Page(oauthtest.UserinfoPath, oauthtest.Answer(tt.status, "application/json", string(body)))
			}
			person, err := s.login()
			switch {
			case tt.code == "down":
				s.unavailable(err, tt.why)
			case tt.code != "":
				s.refusedAs(err, tt.code, tt.why)
			case err != nil:
				t.Error(err)
			case len(person.Claims.Groups) != tt.groups || person.Session != "session-of-jane":
				t.Errorf("got %+v %q", person.Claims, person.Session)
			}
		})
	}
	// How somebody signed in, the ID token alone can say.
	strong := newRP(t, func(o *Options) { o.Userinfo, o.Allow = &yes, rules(t, "claim:acr=mfa") })
	strong.idp.Page(oauthtest.UserinfoPath, oauthtest.Document(object{"sub": "jane", "acr": "mfa"}))
	_, err := strong.login()
	strong.refusedAs(err, notAllowed, "")
	// An address that one says, and of which the other says that it is verified, is not.
	s := newRP(t, func(o *Options) { o.Userinfo, o.Email = &yes, VerifiedEmail })
	s.idp.Page(oauthtest.UserinfoPath, oauthtest.Document(object{"sub": "jane", "email": "admin@example.com"}))
	if person := s.mustLogin(); person.Claims.Email != "" {
		t.Errorf("the address is %q, which nobody verified", person.Claims.Email)
	}
	s.idp.Page(oauthtest.UserinfoPath, oauthtest.Document(object{"sub": "jane", "email_verified": true}))
	s.idp.Claims = set("email_verified", false)
	if person := s.mustLogin(); person.Claims.Email != "" {
		t.Errorf("the address is %q, which nobody verified", person.Claims.Email)
	}
}

// Entra leaves groups out that are too many, and says so. So do the page and the
// log.
func TestGroupOverage(t *testing.T) {
	for name, said := range map[string]object{
		"_claim_names": {"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://graph.microsoft.com/x"}}},
		"hasgroups":    {"hasgroups": true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRP(t, func(o *Options) { o.Allow = rules(t, "group:staff email:jane@example.com") })
			said["email"], said["email_verified"] = "joe@example.com", true
			s.idp.People["jane"] = said
			_, err := s.login()
			s.refusedAs(err, groupOverage, "Groups assigned to the application")
			said["email"] = "jane@example.com" // another rule lets her in
			s.mustLogin()
			s.idp.Change(func() { said["email"], said["groups"] = "joe@example.com", []string{} })
			_, err = s.login()
			s.refusedAs(err, notAllowed, "")
		})
	}
	s := newRP(t, nil)
	many := make([]string, maxGroups+1)
	for i := range many {
		many[i] = "group " + strings.Repeat("x", i%7) + time.Duration(i).String()
	}
	s.idp.People["jane"]["groups"] = many
	_, err := s.login()
	s.refusedAs(err, tooManyGroups, "1001 groups")
}
