package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

const actions = "https://token.actions.githubusercontent.com"

// job is a job of GitHub Actions, and the issuer that vouches for it.
type job struct {
	key    *ecdsa.PrivateKey
	claims oauthtest.Object
}

func newJob(t testing.TB) *job {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &job{key, oauthtest.Object{
		"iss": actions, "sub": "repo:octo-org/app:ref:refs/heads/main", "aud": testIssuer, "repository": "octo-org/app", "ref": "refs/heads/main",
		"run_id": "8237", "iat": testStart.Unix(), "nbf": testStart.Unix(), "exp": testStart.Add(5 * time.Minute).Unix(),
	}}
}

func (j *job) keys(t testing.TB) string {
	t.Helper()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: j.key.Public(), Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

// token is what the job gets at its issuer, with some claims changed.
func (j *job) token(changes oauthtest.Object) string {
	claims := maps.Clone(j.claims)
	maps.Copy(claims, changes)
	return oauthtest.SignedJWT(jose.ES256, j.key, "JWT", claims)
}

// trusting adds a trust in the issuer of the job.
func (j *job) trusting(t testing.TB, change func(*config.Workload)) func(*siteConfig) {
	t.Helper()
	w := &config.Workload{
		Name: "github", Issuer: actions, JWKS: j.keys(t), Allow: []string{"claim:repository=octo-org/app", "claim:ref=refs/heads/main"}, NameClaim: "repository",
	}
	if change != nil {
		change(w)
	}
	site := config.Site{
		PublicURL: testIssuer, Identities: []config.Identity{{Kind: "workload", Workload: w}},
		Servers: []*config.Server{{ID: "notion", Path: "/mcp/notion", Upstream: "http://127.0.0.1:1/mcp"}, {ID: "main", Path: "/mcp", Upstream: "http://127.0.0.1:2/mcp"}},
	}
	resolved, err := site.Resolve(config.KeepPlaceholders)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *siteConfig) {
		c.Identities = resolved.Identities
		c.SignIn = c.SignIn.ForPeople()
		for _, trust := range resolved.Workloads() {
			c.SignIn = append(c.SignIn, trust.Method())
		}
	}
}

// exchange asks for an access token in place of one of a workload.
func (ts *testServer) exchange(token string, changes ...string) reply {
	ts.t.Helper()
	return ts.exchangeFrom("192.0.2.1", "", with(url.Values{
		"grant_type": {oauth.GrantTokenExchange}, "subject_token": {token}, "subject_token_type": {jwtType}, "resource": {notionResource},
	}, changes...))
}

func (ts *testServer) exchangeFrom(address, basic string, form url.Values) reply {
	ts.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(form.Encode()))
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic != "" {
		r.SetBasicAuth(basic, url.QueryEscape(testSecret))
	}
	return ts.reply(ts.serve(r))
}

// RFC 8693 and RFC 7523: a job without a registered client.
func TestWorkloadExchange_C23(t *testing.T) {
	j := newJob(t)
	ts := newTestServer(t, j.trusting(t, nil))
	for name, form := range map[string]url.Values{
		"token exchange": {"grant_type": {oauth.GrantTokenExchange}, "subject_token": {j.token(nil)}, "subject_token_type": {jwtType}, "resource": {notionResource}},
		"of an ID token": {"grant_type": {oauth.GrantTokenExchange}, "subject_token": {j.token(nil)}, "subject_token_type": {idTokenType}, "requested_token_type": {accessTokenType}, "audience": {testIssuer}, "resource": {notionResource}},
		"its audience":   {"grant_type": {oauth.GrantTokenExchange}, "subject_token": {j.token(nil)}, "subject_token_type": {jwtType}, "audience": {notionResource}},
		"assertion":      {"grant_type": {oauth.GrantJWTBearer}, "assertion": {j.token(nil)}, "resource": {notionResource}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ts.exchangeFrom("192.0.2.1", "", form)
			ts.want(got, http.StatusOK, "")
			var answer struct {
				Issued string `json:"issued_token_type"`
			}
			if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
				t.Fatal(err)
			}
			if wantType := form.Get("grant_type") == oauth.GrantTokenExchange; (answer.Issued == accessTokenType) != wantType || got.Refresh != "" || got.Expires != 600 {
				t.Errorf("answer %s", got.body)
			}
			if status, _ := ts.through("notion", got.Access); status != http.StatusOK {
				t.Errorf("a call gets %d", status)
			}
			if status, _ := ts.through("main", got.Access); status != http.StatusUnauthorized {
				t.Errorf("a call of another server gets %d", status)
			}
			c, _ := ts.caller(got.Access)
			if c.Identity.Subject != "workload:github:octo-org/app" || c.ClientID != "workload:github" {
				t.Errorf("caller %+v", c)
			}
		})
	}
	ts.clock.Advance(11 * time.Minute)
	if got := ts.exchange(j.token(nil)); got.status == http.StatusOK {
		t.Error("an old token of the job is good")
	}
}

// Who sends a token that is not good learns nothing of why; the log has it.
func TestWorkloadRefused_C24(t *testing.T) {
	j := newJob(t)
	ts := newTestServer(t, j.trusting(t, nil))
	other := newJob(t)
	answers := map[string]bool{}
	for reason, token := range map[string]string{
		"workload_not_allowed":    j.token(oauthtest.Object{"repository": "octo-org/other"}),
		"workload_audience":       j.token(oauthtest.Object{"aud": "https://github.com/octo-org"}),
		"workload_expired":        j.token(oauthtest.Object{"exp": testStart.Add(-time.Hour).Unix()}),
		"workload_signature":      other.token(nil),
		"workload_unknown_issuer": j.token(oauthtest.Object{"iss": actions + "/"}),
		"workload_malformed":      "x",
	} {
		got := ts.exchange(token)
		ts.want(got, http.StatusBadRequest, "invalid_request")
		var answer map[string]string
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
			t.Fatal(err)
		}
		delete(answer, "correlation_id")
		answers[fmt.Sprint(answer)] = true
		if lines := ts.logged(event.TokenRefused).FilterField(zap.String("reason", reason)).Len(); lines != 1 {
			t.Errorf("%d lines with reason %s", lines, reason)
		}
		got = ts.exchangeFrom("192.0.2.2", "", url.Values{"grant_type": {oauth.GrantJWTBearer}, "assertion": {token}})
		ts.want(got, http.StatusBadRequest, "invalid_grant")
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", slices.Collect(maps.Keys(answers)))
	}
}

func TestWorkloadRequests_C23(t *testing.T) {
	j := newJob(t)
	ts := newTestServer(t, j.trusting(t, func(w *config.Workload) { w.Servers = []string{"notion"} }))
	for name, tt := range map[string]struct {
		got    reply
		status int
		code   string
	}{
		"no token":            {ts.exchange(""), 400, "invalid_request"},
		"no type":             {ts.exchange(j.token(nil), "subject_token_type", "-"), 400, "invalid_request"},
		"type of a refresh":   {ts.exchange(j.token(nil), "subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), 400, "invalid_request"},
		"wants a refresh":     {ts.exchange(j.token(nil), "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), 400, "invalid_request"},
		"for somebody else":   {ts.exchange(j.token(nil), "actor_token", "x"), 400, "invalid_request"},
		"no assertion":        {ts.exchangeFrom("192.0.2.1", "", url.Values{"grant_type": {oauth.GrantJWTBearer}}), 400, "invalid_request"},
		"a server not listed": {ts.exchange(j.token(nil), "resource", mainResource), 400, "invalid_target"},
		"another audience":    {ts.exchange(j.token(nil), "audience", "https://elsewhere.example"), 400, "invalid_target"},
		"a public client":     {ts.exchange(j.token(nil), "client_id", "app"), 401, "invalid_client"},
		"an unknown client":   {ts.exchange(j.token(nil), "client_id", "nobody"), 401, "invalid_client"},
		"a wrong secret":      {ts.exchange(j.token(nil), "client_id", "web", "client_secret", "wrong"), 401, "invalid_client"},
	} {
		if tt.got.status != tt.status || tt.got.Error != tt.code {
			t.Errorf("%s: got %d %s, want %d %s", name, tt.got.status, tt.got.body, tt.status, tt.code)
		}
	}
	got := ts.exchangeFrom("192.0.2.1", "web", url.Values{"grant_type": {oauth.GrantJWTBearer}, "assertion": {j.token(nil)}})
	ts.want(got, http.StatusOK, "")
	if c, _ := ts.caller(got.Access); c.ClientID != "web" || c.Identity.Subject != "workload:github:octo-org/app" {
		t.Errorf("with a client that authenticates, the caller is %+v", c)
	}
	without := newTestServer(t)
	without.want(without.exchange(j.token(nil)), http.StatusBadRequest, "unsupported_grant_type")
}

// Wrong tokens are limited as wrong secrets are; a right one always passes.
func TestWorkloadGuesses_C24_C17(t *testing.T) {
	j := newJob(t)
	ts := newTestServer(t, j.trusting(t, nil))
	for range wrongSecretsPerAddress {
		ts.want(ts.exchange("x"), http.StatusBadRequest, "invalid_request")
	}
	ts.want(ts.exchange("x"), http.StatusTooManyRequests, "temporarily_unavailable")
	ts.want(ts.exchange(j.token(nil)), http.StatusOK, "")
	ts.wantGuessLines(1, "workload_token", "192.0.2.1")
}

// With the trust, or what it rests on, ends all that it gave: also a token of the
// workload that is still good is of no use.
func TestWorkloadTrustEnds_C24_D09(t *testing.T) {
	j := newJob(t)
	for name, change := range map[string]func(*siteConfig){
		"removed":       func(c *siteConfig) { c.Identities, c.SignIn = nil, c.SignIn.ForPeople() },
		"narrowed":      j.trusting(t, func(w *config.Workload) { w.Allow = append(w.Allow, "claim:environment=prod") }),
		"other keys":    j.trusting(t, func(w *config.Workload) { w.JWKS = newJob(t).keys(t) }),
		"fewer servers": j.trusting(t, func(w *config.Workload) { w.Servers = []string{"main"} }),
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, j.trusting(t, nil))
			ts.endWithdrawn()
			got := ts.exchange(j.token(nil))
			ts.want(got, http.StatusOK, "")
			before := ts.serves()
			ts.reload(change)
			if status, _ := ts.through("notion", got.Access); status != http.StatusUnauthorized {
				t.Errorf("a call gets %d", status)
			}
			if again := ts.exchange(j.token(nil)); again.status == http.StatusOK {
				t.Error("the job's token is exchanged again")
			}
			ts.endWithdrawn()
			ts.reload(func(c *siteConfig) { *c = before })
			ts.endWithdrawn()
			if ts.live(got.Access) {
				t.Error("the token lives again")
			}
		})
	}
}
