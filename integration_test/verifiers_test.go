package integration_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/docs/verify"
	"github.com/mcpoauth/caddy-mcp-oauth/integration_test/harness"
)

// verifierCase is a token, and whether a verifier accepts it.
type verifierCase struct {
	name, token string
	good        bool
}

// forger is a site with a key set, and whoever would like to have its keys.
type forger struct {
	t       *testing.T
	site    string
	server  string
	claims  map[string]any
	headers map[jose.HeaderKey]any
}

// verifierCases returns a site, one of its servers, and tokens that say to be from
// that site and for that server. Two of its keys are published: it signs with one.
func verifierCases(t *testing.T) (site, server string, cases []verifierCase) {
	t.Helper()
	key := func(private any, algorithm jose.SignatureAlgorithm, id string) jose.JSONWebKey {
		return jose.JSONWebKey{Key: private, KeyID: id, Algorithm: string(algorithm), Use: "sig"}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := key(foreign, jose.EdDSA, "own")
	own, other := key(private, jose.EdDSA, "own"), key(curve, jose.ES256, "other algorithm")
	set, evilSet := serveKeys(t, own.Public(), other.Public()), serveKeys(t, stranger.Public())
	f := &forger{t: t, site: set, server: set + "/mcp"}
	now := time.Now().Unix()
	f.claims = map[string]any{"iss": f.site, "aud": f.server, "sub": "virtual_key:alice", "iat": now, "exp": now + 60, "client_id": "c", "groups": []string{"staff"}}
	f.headers = map[jose.HeaderKey]any{jose.HeaderType: "mcp-identity+jwt"}

	typed := func(typ any) *forger { return f.with(nil, map[jose.HeaderKey]any{jose.HeaderType: typ}) }
	claim := func(name string, value any) *forger { return f.with(map[string]any{name: value}, nil) }
	good := f.sign(jose.EdDSA, own)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	return f.site, f.server, []verifierCase{
		{"good", good, true},
		{"for several servers", claim("aud", []string{"https://x.example", f.server}).sign(jose.EdDSA, own), true},
		{"wrong aud", claim("aud", f.site+"/other").sign(jose.EdDSA, own), false},
		{"aud of the site", claim("aud", f.site).sign(jose.EdDSA, own), false},
		{"no aud", claim("aud", nil).sign(jose.EdDSA, own), false},
		{"wrong iss", claim("iss", "https://evil.example").sign(jose.EdDSA, own), false},
		{"no iss", claim("iss", nil).sign(jose.EdDSA, own), false},
		{"expired", f.with(map[string]any{"iat": now - 120, "exp": now - 60}, nil).sign(jose.EdDSA, own), false},
		{"no exp", claim("exp", nil).sign(jose.EdDSA, own), false},
		{"about nobody", claim("sub", nil).sign(jose.EdDSA, own), false},
		{"an access token", typed("at+jwt").sign(jose.EdDSA, own), false},
		{"a JWT of no type", typed("JWT").sign(jose.EdDSA, own), false},
		{"without type", typed(nil).sign(jose.EdDSA, own), false},
		{"alg none", encode(`{"alg":"none","kid":"own","typ":"mcp-identity+jwt"}`) + "." + payload + ".", false},
		{"alg none with a signature", encode(`{"alg":"none","kid":"own","typ":"mcp-identity+jwt"}`) + "." + payload + "." + signature, false},
		{"the public key as a secret", f.with(nil, map[jose.HeaderKey]any{"kid": "own"}).sign(jose.HS256, jose.JSONWebKey{Key: []byte(public)}), false},
		{"another algorithm of the site", f.sign(jose.ES256, other), false},
		{"other key", f.sign(jose.EdDSA, stranger), false},
		{"other key of an unknown id", f.sign(jose.EdDSA, key(foreign, jose.EdDSA, "theirs")), false},
		{"other key without an id", f.sign(jose.EdDSA, key(foreign, jose.EdDSA, "")), false},
		{"its key in the header", f.with(nil, map[jose.HeaderKey]any{"jwk": stranger.Public()}).sign(jose.EdDSA, stranger), false},
		{"its key set in the header", f.with(nil, map[jose.HeaderKey]any{"jku": evilSet + "/.well-known/jwks.json"}).sign(jose.EdDSA, stranger), false},
		{"changed", header + "." + encode(strings.Replace(decode(t, payload), "alice", "admin", 1)) + "." + signature, false},
		{"cut", header + "." + payload, false},
		{"no token", "x", false},
	}
}

// with returns a forger that says something else; nil removes.
func (f *forger) with(claims map[string]any, headers map[jose.HeaderKey]any) *forger {
	changed := *f
	changed.claims, changed.headers = maps.Clone(f.claims), maps.Clone(f.headers)
	maps.Copy(changed.claims, claims)
	maps.Copy(changed.headers, headers)
	maps.DeleteFunc(changed.claims, func(_ string, v any) bool { return v == nil })
	maps.DeleteFunc(changed.headers, func(_ jose.HeaderKey, v any) bool { return v == nil })
	return &changed
}

func (f *forger) sign(algorithm jose.SignatureAlgorithm, key jose.JSONWebKey) string {
	f.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, &jose.SignerOptions{ExtraHeaders: f.headers})
	if err != nil {
		f.t.Fatal(err)
	}
	payload, err := json.Marshal(f.claims)
	if err != nil {
		f.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		f.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// serveKeys returns a site that publishes keys.
func serveKeys(t *testing.T, keys ...jose.JSONWebKey) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/jwks.json" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
	}))
	t.Cleanup(site.Close)
	return site.URL
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func decode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// realStatement returns what the built program tells a server of a call.
func realStatement(t *testing.T) (site, server, token string) {
	t.Helper()
	upstream := harness.Record(t)
	g := harness.Run(t, harness.Config{
		Directives: identities + "server recorder /mcp " + upstream.URL + " {\nidentity_jwt X-Identity\n}",
		Env:        keys,
	})
	access := g.SignIn(t, alice, "/mcp").AccessToken
	const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + access}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
	}
	res, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	received := upstream.Received()
	if res.StatusCode != http.StatusOK || len(received) != 1 {
		t.Fatalf("status %d, %d requests received", res.StatusCode, len(received))
	}
	return g.URL, g.URL + "/mcp", received[0].Header.Get("X-Identity")
}

// The verifier that docs/verify shows in Go.
func TestVerifierInGo(t *testing.T) {
	site, server, cases := verifierCases(t)
	v := verify.New(t.Context(), site, server)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			caller, err := v.Verify(t.Context(), c.token)
			if (err == nil) != c.good {
				t.Fatalf("caller %+v, error %v", caller, err)
			}
			if c.good && (caller.Subject != "virtual_key:alice" || caller.ClientID != "c" || len(caller.Groups) != 1) {
				t.Errorf("caller %+v", caller)
			}
		})
	}
	site, server, token := realStatement(t)
	if caller, err := verify.New(t.Context(), site, server).Verify(t.Context(), token); err != nil || caller.Subject != "virtual_key:alice" {
		t.Errorf("of the built program: caller %+v, error %v", caller, err)
	}
	if caller, err := verify.New(t.Context(), site, server+"2").Verify(t.Context(), token); err == nil {
		t.Errorf("another server takes %+v", caller)
	}
}
