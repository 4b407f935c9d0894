package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

const day = 24 * time.Hour

// signsTokens is the option of a server whose access tokens are JWTs.
func signsTokens(c *siteConfig) {
	c.AccessTokenFormat = config.JWTTokens
	c.Signing = &config.Signing{Algorithm: "EdDSA", Rotate: config.Duration(90 * day)}
}

// published returns the key set.
func (ts *testServer) published() *jose.JSONWebKeySet {
	ts.t.Helper()
	w := ts.serve(httptest.NewRequest(http.MethodGet, testIssuer+oauth.JWKSPath, nil))
	set := new(jose.JSONWebKeySet)
	if err := json.Unmarshal(w.Body.Bytes(), set); w.Code != http.StatusOK || err != nil {
		ts.t.Fatalf("key set: %d %s", w.Code, w.Body)
	}
	return set
}

// claims returns header and claims of a JWT that a published key verifies.
func (ts *testServer) claims(token string) (header jose.Header, claims map[string]any) {
	ts.t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil {
		ts.t.Fatal(err)
	}
	header = jws.Signatures[0].Header
	keys := ts.published().Key(header.KeyID)
	if len(keys) != 1 {
		ts.t.Fatalf("%d keys have the id %s", len(keys), header.KeyID)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		ts.t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		ts.t.Fatal(err)
	}
	return header, claims
}

// calls reports whether a call of a server passes its gate, and with which status
// it is refused.
func (ts *testServer) calls(server, token string) (status int) {
	ts.t.Helper()
	s := ts.as.Config().Server(server)
	_, w := call(ts.as.Gate(s, nil), "POST", s.Resource, authHeader, "Bearer "+token)
	return w.Code
}

// RFC 9068 section 2.
func TestSignedAccessToken(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	got := ts.redeem("web", ts.approved(request("client_id", "web", "scope", "mcp:use notion:admin"), alice).Get("code"))
	ts.want(got, http.StatusOK, "")
	header, claims := ts.claims(got.Access)
	if header.Algorithm != "EdDSA" || header.ExtraHeaders[jose.HeaderType] != "at+jwt" || header.KeyID == "" {
		t.Errorf("header %+v", header)
	}
	id, _ := claims["jti"].(string)
	if len(id) < 40 {
		t.Errorf("jti %q", id)
	}
	delete(claims, "jti")
	want := map[string]any{
		"iss": testIssuer, "sub": "user_id:alice", "client_id": "web", "aud": notionResource, "scope": "mcp:use notion:admin",
		"iat": float64(testStart.Unix()), "exp": float64(testStart.Add(time.Hour).Unix()),
	}
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("claims\n got %v\nwant %v", claims, want)
	}
	if status := ts.calls("notion", got.Access); status != http.StatusOK {
		t.Errorf("at its server: %d", status)
	}
	if status := ts.calls("main", got.Access); status != http.StatusUnauthorized {
		t.Errorf("at another server: %d", status)
	}
	again := ts.refresh("web", got.Refresh)
	_, renewed := ts.claims(again.Access)
	if renewed["jti"] == id || renewed["sub"] != "user_id:alice" {
		t.Errorf("renewed %v", renewed)
	}
}

// The store has the hash of a token, and nothing that would make one.
func TestJWTIsNotStored_M01(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	store, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	ts := newTestServerOn(t, store, signsTokens)
	first := ts.signedIn()
	second := ts.refresh("app", first.Refresh)
	_, claims := ts.claims(second.Access)
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, signature := cut3(second.Access)
	for what, text := range map[string]string{"payload": payload, "signature": signature, "id": claims["jti"].(string)} {
		if strings.Contains(string(stored), text) {
			t.Errorf("the store has the %s of a token", what)
		}
	}
}

// A client that names no resource gets one token for all that was approved.
func TestSignedAudiences(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	got := ts.redeem("app", ts.approved(request("resource", "-"), alice, notionResource, mainResource).Get("code"), "resource", "-")
	_, claims := ts.claims(got.Access)
	if want := []any{notionResource, mainResource}; !reflect.DeepEqual(claims["aud"], want) {
		t.Errorf("aud %v, want %v", claims["aud"], want)
	}
	for _, server := range []string{"notion", "main"} {
		if status := ts.calls(server, got.Access); status != http.StatusOK {
			t.Errorf("%s: %d", server, status)
		}
	}
}

func TestSignedClaimsOfThePerson(t *testing.T) {
	person := alice
	person.Claims = &storage.Claims{
		Email: "alice@example.com", Name: "Alice A.", Groups: []string{"staff", "eng"},
		Extra: map[string]json.RawMessage{"displayName": json.RawMessage(`"Al"`), "role": json.RawMessage(`["admin"]`), "secret": json.RawMessage(`1`)},
	}
	many := person
	many.Claims = &storage.Claims{Email: "alice@example.com", Groups: slices.Repeat([]string{"a-group-with-a-long-name"}, 200)}
	for name, tt := range map[string]struct {
		who    storage.Identity
		claims []string
		want   map[string]any
	}{
		"none is asked for":   {person, nil, map[string]any{}},
		"those that are":      {person, []string{"email", "groups", "role"}, map[string]any{"email": "alice@example.com", "groups": []any{"staff", "eng"}, "role": []any{"admin"}}},
		"seed's":              {person, []string{"email", "displayName"}, map[string]any{"email": "alice@example.com", "displayName": "Al"}},
		"name":                {person, []string{"name"}, map[string]any{"name": "Alice A."}},
		"unknown":             {person, []string{"other"}, map[string]any{}},
		"a chosen name":       {alice, []string{"name", "email"}, map[string]any{}},
		"a verified name":     {keyIdentity("team"), []string{"name", "email"}, map[string]any{"name": "team"}},
		"more than would fit": {many, []string{"groups", "email"}, map[string]any{"email": "alice@example.com", "hasgroups": true}},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, signsTokens, func(c *siteConfig) { c.AccessTokenClaims = tt.claims })
			g := &storage.Grant{ID: "g", Issuer: testIssuer, ClientID: "app", Identity: tt.who}
			issuer := &tokenIssuer{cfg: ts.as.cfg, access: ts.as.accessTokens, refresh: ts.as.refreshTokens, keys: ts.as.Signing, ahead: storage.AheadOf(nil)}
			issued, _, err := issuer.issue(t.Context(), g, testStart.Add(time.Hour), ts.as.cfg.Servers[:1], []string{"mcp:use"}, false, testStart)
			if err != nil {
				t.Fatal(err)
			}
			_, claims := ts.claims(issued.Access)
			for _, own := range []string{"jti", "iss", "sub", "client_id", "aud", "scope", "exp", "iat"} {
				if claims[own] == nil {
					t.Errorf("no %s", own)
				}
				delete(claims, own)
			}
			if !reflect.DeepEqual(claims, tt.want) {
				t.Errorf("got %v, want %v", claims, tt.want)
			}
			if len(issued.Access) > 6500 {
				t.Errorf("the token has %d bytes", len(issued.Access))
			}
		})
	}
}

// What is revoked is refused at once, here and, after five seconds at the latest,
// in another process; the other tokens of its grant are not.
func TestRevokedJWT_L09(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	first := ts.signedIn()
	second := ts.refresh("app", first.Refresh)
	other := ts.as.deps
	other.TokenCache = tokens.NewCache(ts.store, 100) // another process
	elsewhere := New(ts.as.cfg, other).Gate(ts.as.cfg.Server("notion"), nil)
	passes := func(token string) bool {
		c, _ := call(elsewhere, "POST", notionResource, authHeader, "Bearer "+token)
		return c != nil
	}
	for _, token := range []string{first.Access, second.Access} {
		if ts.calls("notion", token) != http.StatusOK || !passes(token) {
			t.Fatal("a token does not work")
		}
	}
	ts.want(ts.revoke("app", first.Access), http.StatusOK, "")
	if got := ts.calls("notion", first.Access); got != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", got)
	}
	ts.clock.Advance(tokens.TTL + time.Nanosecond)
	if passes(first.Access) {
		t.Error("a revoked token passes in another process after five seconds")
	}
	if got := ts.calls("notion", second.Access); got != http.StatusOK {
		t.Errorf("the next token of the grant: %d", got)
	}
	ts.want(ts.revoke("app", second.Refresh), http.StatusOK, "")
	if got := ts.calls("notion", second.Access); got != http.StatusUnauthorized {
		t.Errorf("a token whose grant was revoked: %d", got)
	}
	if got := ts.introspect("inspector", second.Access); got.body != inactive {
		t.Errorf("introspection: %s", got.body)
	}
}

func TestIntrospectJWT(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	issued := ts.redeem("web", ts.approved(request("client_id", "web"), alice).Get("code"))
	got := ts.introspect("web", issued.Access)
	if !got.Active || !strings.Contains(got.body, `"sub":"user_id:alice"`) {
		t.Errorf("introspection: %s", got.body)
	}
}

// A JWT that was not issued here, or was changed, is unknown, whatever it says and
// whoever signed it. Most of them are no work for the store.
func TestForgedJWT(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	good := ts.signedIn().Access
	header, payload, signature := cut3(good)
	edited := func(s, from, to string) string {
		plain, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || !strings.Contains(string(plain), from) {
			t.Fatalf("%v: no %s in %s", err, from, plain)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(plain), from, to, 1)))
	}
	foreign := newTestServer(t, signsTokens, func(c *siteConfig) { c.Issuer = "https://other.example" })
	statement, err := ts.as.Signing.Sign(t.Context(), "mcp-identity+jwt",
		[]byte(`{"iss":"`+testIssuer+`","sub":"user_id:alice","aud":"`+notionResource+`"}`), ts.clock.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	signedElsewhere, err := foreign.as.Signing.Sign(t.Context(), "at+jwt", decoded(t, payload), ts.clock.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token  string
		stored bool // the store is asked
	}{
		"alg none":                  {edited(header, "EdDSA", "none") + "." + payload + ".", false},
		"alg none, with signature":  {edited(header, "EdDSA", "none") + "." + payload + "." + signature, true},
		"another type":              {edited(header, "at+jwt", "JWT") + "." + payload + "." + signature, true},
		"another subject":           {header + "." + edited(payload, "user_id:alice", "user_id:admin") + "." + signature, true},
		"another audience":          {header + "." + edited(payload, notionResource, mainResource) + "." + signature, true},
		"a key in the header":       {edited(header, `"kid":"`, `"jku":"https://evil.example/jwks","kid":"`) + "." + payload + "." + signature, true},
		"another key id":            {edited(header, `"kid":"`, `"kid":"../../etc/passwd`) + "." + payload + "." + signature, true},
		"without signature":         {header + "." + payload, false},
		"another signature":         {good[:len(good)-4] + "AAAA", true},
		"padded":                    {good + "=", true},
		"made-up id":                {header + "." + edited(payload, `"jti":"`, `"jti":"AAAA`) + "." + signature, false},
		"another site's key":        {signedElsewhere, true},
		"a statement for a server":  {statement, false},
		"its id as an opaque token": {tokens.AccessPrefix + string(decoded(t, payload)[8:62]), false},
		"no JWT":                    {"eyJhbGciOi", false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			ts.store.failing("AccessToken", func() { asked = ts.calls("notion", tt.token) == http.StatusServiceUnavailable })
			if asked != tt.stored {
				t.Errorf("the store was asked: %v", asked)
			}
			if got := ts.calls("notion", tt.token); got != http.StatusUnauthorized {
				t.Errorf("call: %d", got)
			}
			if got := ts.introspect("inspector", tt.token); got.body != inactive {
				t.Errorf("introspection: %s", got.body)
			}
			ts.want(ts.revoke("app", tt.token), http.StatusOK, "")
		})
	}
	if got := ts.calls("notion", good); got != http.StatusOK {
		t.Errorf("the good one: %d", got)
	}
	if got := foreign.calls("notion", good); got != http.StatusUnauthorized {
		t.Errorf("at another site: %d", got)
	}
}

func decoded(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func cut3(token string) (a, b, c string) {
	a, rest, _ := strings.Cut(token, ".")
	b, c, _ = strings.Cut(rest, ".")
	return a, b, c
}

// A client that shows an expired JWT hears so each time, and is not taken for
// somebody who guesses at keys.
func TestExpiredJWTIsNoGuess(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	token := ts.signedIn().Access
	ts.clock.Advance(2 * time.Hour)
	for range 3 * wrongSecretsPerAddress {
		if got := ts.calls("notion", token); got != http.StatusUnauthorized {
			t.Fatalf("an expired token: %d", got)
		}
	}
}

// The format is changed with a reload: tokens of the other one go on.
func TestFormatIsChanged(t *testing.T) {
	ts := newTestServer(t)
	opaque := ts.signedIn()
	ts.reload(signsTokens)
	signed := ts.refresh("app", opaque.Refresh)
	ts.claims(signed.Access)
	for _, token := range []string{opaque.Access, signed.Access} {
		if got := ts.calls("notion", token); got != http.StatusOK {
			t.Errorf("after the change: %d", got)
		}
	}
	ts.reload(func(c *siteConfig) { c.AccessTokenFormat = config.OpaqueTokens })
	if got := ts.calls("notion", signed.Access); got != http.StatusOK {
		t.Errorf("after the change back: %d", got)
	}
	again := ts.refresh("app", signed.Refresh)
	if !strings.HasPrefix(again.Access, tokens.AccessPrefix) {
		t.Errorf("refreshed to %.12s", again.Access)
	}
}

// A client that lost the response to a refresh gets the same JWT again.
func TestLostResponseOfJWT_D02(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	first := ts.signedIn()
	lost := ts.refresh("app", first.Refresh)
	ts.clock.Advance(30 * time.Second)
	if again := ts.refresh("app", first.Refresh); again.Access != lost.Access || again.Refresh != lost.Refresh {
		t.Errorf("repeated: %s, lost: %s", again.body, lost.body)
	}
}

// Nothing is issued, and nothing used up, while nothing can be signed.
func TestSigningFails(t *testing.T) {
	ts := newTestServer(t, signsTokens)
	code := ts.code()
	ts.store.failing("SiteValue", func() {
		ts.want(ts.redeem("app", code), http.StatusServiceUnavailable, "temporarily_unavailable")
		if w := ts.serve(httptest.NewRequest(http.MethodGet, testIssuer+oauth.JWKSPath, nil)); w.Code != http.StatusServiceUnavailable {
			t.Errorf("key set: %d", w.Code)
		}
	})
	ts.want(ts.redeem("app", code), http.StatusOK, "")
}

// Tokens may live for a month, and their key is published as long.
func TestLongJWT(t *testing.T) {
	ts := newTestServer(t, signsTokens, func(c *siteConfig) {
		c.AccessTokenLifetime, c.RefreshTokenLifetime = config.Duration(30*day), config.Duration(30*day)
		c.Signing.Rotate = config.Duration(day)
	})
	issued := ts.signedIn()
	if issued.Expires != int64(30*day/time.Second) {
		t.Errorf("expires_in %d", issued.Expires)
	}
	header, _ := ts.claims(issued.Access)
	for range 60 {
		ts.clock.Advance(12*time.Hour - time.Second)
		ts.published()
	}
	if got, _ := ts.claims(issued.Access); got.KeyID != header.KeyID {
		t.Errorf("verified by %s", got.KeyID)
	}
	if n := len(ts.published().Keys); n < 20 || n > 33 {
		t.Errorf("%d keys are published", n)
	}
}

// The key set is there, and named, if anything is signed, and only then.
func TestKeySet_F09(t *testing.T) {
	identityJWT := func(c *siteConfig) {
		signsTokens(c)
		c.AccessTokenFormat = config.OpaqueTokens
		server := *c.Servers[0]
		server.IdentityJWT = "X-Identity"
		c.Servers = append([]*config.Server{&server}, c.Servers[1:]...)
	}
	for name, tt := range map[string]struct {
		option func(*siteConfig)
		want   bool
	}{
		"nothing is signed":      {func(*siteConfig) {}, false},
		"access tokens are":      {signsTokens, true},
		"who calls a server is":  {identityJWT, true},
		"how to, but nothing is": {func(c *siteConfig) { signsTokens(c); c.AccessTokenFormat = config.OpaqueTokens }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, tt.option)
			w := ts.serve(httptest.NewRequest(http.MethodGet, testIssuer+oauth.AuthorizationServerPath, nil))
			var metadata map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &metadata); err != nil {
				t.Fatal(err)
			}
			if uri, named := metadata["jwks_uri"]; named != tt.want || tt.want && uri != testIssuer+"/.well-known/jwks.json" {
				t.Errorf("jwks_uri %v", uri)
			}
			if got := ts.routes[oauth.JWKSPath] != nil; got != tt.want {
				t.Fatalf("there is a key set: %v", got)
			}
			if !tt.want {
				return
			}
			r := httptest.NewRequest(http.MethodGet, testIssuer+oauth.JWKSPath, nil)
			r.Header.Set("Origin", "https://page.example")
			h := ts.serve(r).Header()
			if h.Get("Cache-Control") != "public, max-age=300" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", h)
			}
			if len(ts.published().Keys) != 1 {
				t.Errorf("published %v", ts.published())
			}
		})
	}
}
