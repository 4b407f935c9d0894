package clients

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// authConfig adds a client per authentication method. All secrets are testSecret.
func authConfig(c *siteConfig) {
	secret := storage.HashOf(testSecret)
	for id, method := range map[string]string{"public": oauth.AuthNone, "basic": oauth.AuthSecretBasic, "post": oauth.AuthSecretPost, "either": ""} {
		client := Client{ID: id, SecretHash: &secret, Metadata: oauth.ClientMetadata{RedirectURIs: []string{testRedirect}, TokenEndpointAuthMethod: method}}
		if id == "public" {
			client.SecretHash = nil
		}
		c.Clients = append(c.Clients, client)
	}
}

func basicAuth(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// values returns parameters in pairs.
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// authFailuresPerClient is as in package ratelimit.
const authFailuresPerClient = 10

// authenticate asks who makes a request with the headers and parameters.
func (ts *testSite) authenticate(address string, authorization []string, parameters ...string) (*Authenticated, error) {
	r := httptest.NewRequest(http.MethodPost, testTokenEndpoint, nil)
	r.RemoteAddr = address
	r.Header["Authorization"] = authorization
	return ts.authenticator.Authenticate(r, values(parameters...))
}

func TestClientAuthentication(t *testing.T) {
	b64 := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tc := range map[string]struct {
		authorization []string
		form          []string
		client        string // empty: refused
		status        int
		why           string
	}{
		"AS-63 public":                        {nil, []string{"client_id", "public"}, "public", 0, ""},
		"AS-63 secret in the header":          {[]string{basicAuth("basic", testSecret)}, nil, "basic", 0, ""},
		"AS-63 same client in the form":       {[]string{basicAuth("basic", testSecret)}, []string{"client_id", "basic"}, "basic", 0, ""},
		"AS-63 secret in the form":            {nil, []string{"client_id", "post", "client_secret", testSecret}, "post", 0, ""},
		"AS-63 either, header":                {[]string{basicAuth("either", testSecret)}, nil, "either", 0, ""},
		"AS-63 either, form":                  {nil, []string{"client_id", "either", "client_secret", testSecret}, "either", 0, ""},
		"public client, empty Basic secret":   {[]string{basicAuth("public", "")}, nil, "public", 0, ""},
		"C05 lower-case scheme":               {[]string{strings.Replace(basicAuth("basic", testSecret), "Basic", "basic", 1)}, nil, "basic", 0, ""},
		"C01 Basic, registered post":          {[]string{basicAuth("post", testSecret)}, nil, "", 401, "The client is registered to authenticate in another way"},
		"C01 post, registered Basic":          {nil, []string{"client_id", "basic", "client_secret", testSecret}, "", 401, "The client is registered to authenticate in another way"},
		"C01 public client sends a secret":    {nil, []string{"client_id", "public", "client_secret", testSecret}, "", 401, "The client is registered to authenticate in another way"},
		"C01 public client, Basic secret":     {[]string{basicAuth("public", testSecret)}, nil, "", 401, "The client is registered to authenticate in another way"},
		"C01 confidential client sends none":  {nil, []string{"client_id", "basic"}, "", 401, "The client is registered to authenticate in another way"},
		"C01 either sends none":               {nil, []string{"client_id", "either"}, "", 401, "The client is registered to authenticate in another way"},
		"C01 confidential, empty secret":      {[]string{basicAuth("basic", "")}, nil, "", 401, "The client is registered to authenticate in another way"},
		"C01 public client sends assertion":   {nil, []string{"client_id", "public", "client_assertion_type", oauth.JWTBearerAssertion, "client_assertion", "e30.e30.e30"}, "", 401, "unexpected signature algorithm"},
		"C02 wrong secret in the header":      {[]string{basicAuth("basic", "x")}, nil, "", 401, "The client could not be authenticated"},
		"C02 wrong secret in the form":        {nil, []string{"client_id", "post", "client_secret", "x"}, "", 401, "The client could not be authenticated"},
		"C02 hash as secret":                  {nil, []string{"client_id", "post", "client_secret", fmt.Sprintf("%x", storage.HashOf(testSecret))}, "", 401, "The client could not be authenticated"},
		"C04 two methods":                     {[]string{basicAuth("basic", testSecret)}, []string{"client_secret", testSecret}, "", 400, "The request authenticates the client in more than one way"},
		"C04 header and assertion":            {[]string{basicAuth("basic", testSecret)}, []string{"client_assertion_type", oauth.JWTBearerAssertion, "client_assertion", "x.y.z"}, "", 400, "The request authenticates the client in more than one way"},
		"C04 secret and assertion":            {nil, []string{"client_id", "post", "client_secret", testSecret, "client_assertion_type", oauth.JWTBearerAssertion, "client_assertion", "x.y.z"}, "", 400, "The request authenticates the client in more than one way"},
		"C04 empty header secret and secret":  {[]string{basicAuth("post", "")}, []string{"client_secret", testSecret}, "", 400, "The request authenticates the client in more than one way"},
		"C05 no base64":                       {[]string{"Basic %%%"}, nil, "", 401, "The Authorization header is malformed"},
		"C05 no padding":                      {[]string{strings.TrimRight(b64("basic:secret"), "=")}, nil, "", 401, "The client could not be authenticated"},
		"C05 no colon":                        {[]string{b64("basic")}, nil, "", 401, "The Authorization header is malformed"},
		"C05 not form-encoded":                {[]string{b64("basic:%zz")}, nil, "", 401, "The client could not be authenticated"},
		"C05 id not form-encoded":             {[]string{b64("%zz:x")}, nil, "", 401, "The client is not known here"},
		"C05 no id":                           {[]string{b64(":x")}, nil, "", 401, "The Authorization header is malformed"},
		"C05 nothing":                         {[]string{"Basic"}, nil, "", 401, "The Authorization header is malformed"},
		"C05 empty header":                    {[]string{""}, []string{"client_id", "public"}, "", 401, "The Authorization header must use Basic"},
		"C05 another scheme":                  {[]string{"Bearer x"}, []string{"client_id", "public"}, "", 401, "The Authorization header must use Basic"},
		"E06 two headers":                     {[]string{basicAuth("basic", testSecret), basicAuth("basic", testSecret)}, nil, "", 401, "The Authorization header is malformed"},
		"C06 two clients":                     {[]string{basicAuth("basic", testSecret)}, []string{"client_id", "public"}, "", 400, "The request names two clients"},
		"no client":                           {nil, nil, "", 401, "The request does not say which client it comes from"},
		"unknown client":                      {nil, []string{"client_id", "nobody"}, "", 401, "The client is not known here"},
		"unknown registered client":           {nil, []string{"client_id", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"}, "", 401, "The client is not known here"},
		"unknown client in the header":        {[]string{basicAuth("nobody", "x")}, nil, "", 401, "The client is not known here"},
		"document that cannot be loaded":      {nil, []string{"client_id", "https://127.0.0.1/c"}, "", 401, "URL not allowed"},
		"C11 unsupported assertion type":      {nil, []string{"client_assertion_type", "x", "client_assertion", "x.y.z"}, "", 401, "The client_assertion_type is not supported"},
		"assertion type without an assertion": {nil, []string{"client_id", "public", "client_assertion_type", oauth.JWTBearerAssertion}, "", 401, "empty input"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestSite(t, authConfig)
			c, err := ts.authenticate("192.0.2.1", tc.authorization, tc.form...)
			if tc.client != "" {
				if err != nil || c.ID != tc.client {
					t.Fatalf("got %+v, %v", c, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("authenticated as %s", c.ID)
			}
			e := oauth.AsError(err)
			if !strings.Contains(err.Error(), tc.why) {
				t.Errorf("got %v, want %s", err, tc.why)
			}
			if e.Status != tc.status || e.Status == 401 && e.Code != "invalid_client" || e.Status == 400 && e.Code != "invalid_request" {
				t.Errorf("got %d %v", e.Status, err)
			}
			if challenged := strings.HasPrefix(e.Challenge, "Basic "); e.Status == 401 && challenged != (tc.authorization != nil) {
				t.Errorf("challenge %q", e.Challenge)
			}
		})
	}
}

// Clients that do not form-encode their credentials mean the same as those that do.
func TestBasicAsItIs_C05(t *testing.T) {
	b64 := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, credentials := range []struct{ id, secret string }{
		{"app", "plain"}, {"app", "a+b/c="}, {"app", "100%"}, {"app", "100%zz"}, {"app", "50%2Boff"}, {"app", "a:b"}, {"app", "ä b"},
		{"my+app", "a+b"}, {"100%app", "a+b"}, {"app%2B1", "s"},
	} {
		hash := storage.HashOf(credentials.secret)
		ts := newTestSite(t, func(c *siteConfig) {
			c.Clients = []Client{{ID: credentials.id, SecretHash: &hash, Metadata: oauth.ClientMetadata{RedirectURIs: []string{testRedirect}, TokenEndpointAuthMethod: oauth.AuthSecretBasic}}}
		})
		for kind, header := range map[string]string{
			"encoded":      basicAuth(credentials.id, credentials.secret),
			"as they are":  b64(credentials.id + ":" + credentials.secret),
			"id encoded":   b64(url.QueryEscape(credentials.id) + ":" + credentials.secret),
			"space as %20": b64(url.PathEscape(credentials.id) + ":" + strings.ReplaceAll(url.QueryEscape(credentials.secret), "+", "%20")),
		} {
			if kind == "space as %20" && strings.Contains(credentials.id, "+") {
				continue // a plus that is not encoded means a space where anything is
			}
			for _, form := range [][]string{nil, {"client_id", credentials.id}} {
				if c, err := ts.authenticate("192.0.2.1", []string{header}, form...); err != nil || c.ID != credentials.id {
					t.Errorf("%+v, %s, form %q: %v", credentials, kind, form, err)
				}
			}
		}
		for _, wrong := range []string{credentials.secret + "+", credentials.secret + "%20", "%", "+"} {
			if _, err := ts.authenticate("192.0.2.1", []string{b64(credentials.id + ":" + wrong)}); oauth.AsError(err).Status != http.StatusUnauthorized {
				t.Errorf("%+v: secret %q: %v", credentials, wrong, err)
			}
		}
	}
}

// Whoever knows the ID of a client, and shares its address, does not lock it out
// with forged assertions either.
func TestForgedAssertionsLockNobodyOut_C17(t *testing.T) {
	rightful, forger := newSigner(t, jose.ES256, "k"), newSigner(t, jose.ES256, "k")
	ts := newAssertionSite(t, oauth.ClientMetadata{JWKS: keySet(t, rightful.public())})
	ts.limiter.Now = ts.clock.Now
	for i := range 2 * authFailuresPerClient {
		want := http.StatusUnauthorized
		if i >= authFailuresPerClient {
			want = http.StatusTooManyRequests
		}
		if err := ts.assert(forger.sign(t, claims("jti", fmt.Sprint("forged ", i)))); oauth.AsError(err).Status != want {
			t.Fatalf("forged assertion %d: %v, want status %d", i, err, want)
		}
	}
	if err := ts.assert(rightful.sign(t, claims())); err != nil {
		t.Errorf("the rightful client: %v", err)
	}
}

// Two readings of a secret are one attempt.
func TestBruteForceByBasic_C17(t *testing.T) {
	ts := newTestSite(t, authConfig)
	ts.stopLimits()
	for i := range authFailuresPerClient {
		if _, err := ts.authenticate("192.0.2.66", []string{basicAuth("basic", "100% wrong+")}); oauth.AsError(err).Status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if _, err := ts.authenticate("192.0.2.66", []string{basicAuth("basic", "100% wrong+")}); oauth.AsError(err).Status != http.StatusTooManyRequests {
		t.Errorf("after as many as allowed: %v", err)
	}
}

// A parsed header names a client by what form-decoding makes of it, or by what it says.
func FuzzBasic(f *testing.F) {
	for _, s := range []string{"Basic YTpi", "basic YTo=", "Basic JTJmOmI=", "Basic ", "Bearer x", "Basic YQ==", "Basic  YTpi", "Basic\tYTpi", "Basic OmI="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, err := presentedClient([]string{header}, url.Values{})
		if err != nil {
			if e := oauth.AsError(err); e.Status != http.StatusUnauthorized || e.Challenge == "" {
				t.Fatalf("%q: %v", header, err)
			}
			return
		}
		if p.clientID == "" || (p.method == oauth.AuthSecretBasic) != (p.secret != "") || p.method != oauth.AuthSecretBasic && p.method != oauth.AuthNone {
			t.Fatalf("%q: %+v", header, p)
		}
		again, err := presentedClient([]string{basicAuth(p.clientID, p.secret)}, url.Values{})
		if err != nil || again.clientID != p.clientID || again.secret != p.secret || again.method != p.method {
			t.Fatalf("%q: %+v became %+v, %v", header, p, again, err)
		}
	})
}
