package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

const inactive = `{"active":false}`

func (ts *testServer) introspect(client, token string) reply {
	ts.t.Helper()
	return ts.post(introspectPath, client, url.Values{"token": {token}})
}

func TestIntrospect(t *testing.T) {
	ts := newTestServer(t)
	issued := ts.redeem("web", ts.approved(request("client_id", "web", "scope", "mcp:use notion:admin"), alice).Get("code"))
	want := map[string]any{
		"active": true, "scope": "mcp:use notion:admin", "client_id": "web", "token_type": "Bearer", "sub": "user_id:alice",
		"aud": []any{notionResource}, "iss": testIssuer, "exp": float64(testStart.Add(time.Hour).Unix()), "iat": float64(testStart.Unix()),
	}
	for _, client := range []string{"web", "inspector"} {
		got := ts.introspect(client, issued.Access)
		ts.want(got, http.StatusOK, "")
		var members map[string]any
		if err := json.Unmarshal([]byte(got.body), &members); err != nil || !reflect.DeepEqual(members, want) {
			t.Errorf("%s: %s", client, got.body)
		}
	}
}

func TestIntrospectAnonymous_L01(t *testing.T) {
	ts := newTestServer(t)
	issued := ts.signedIn()
	for _, client := range []string{"app", "foreign"} {
		ts.want(ts.introspect(client, issued.Access), http.StatusUnauthorized, "invalid_client")
	}
	if got := ts.introspect("", issued.Access); got.status == http.StatusOK || got.Active {
		t.Errorf("without client: %d %s", got.status, got.body)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+introspectPath, strings.NewReader(url.Values{"token": {issued.Access}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", "wrong")
	ts.want(ts.reply(ts.serve(r)), http.StatusUnauthorized, "invalid_client")
}

func TestInactive_L02_L03_L04(t *testing.T) {
	ts := newTestServer(t)
	foreign := ts.signedIn()
	own := ts.redeem("web", ts.code("client_id", "web"))
	revoked := ts.redeem("web", ts.code("client_id", "web"))
	ts.revoke("web", revoked.Access)
	expired := ts.redeem("web", ts.code("client_id", "web"))
	key := ts.redeem("web", ts.approved(request("client_id", "web"), keyIdentity("team")).Get("code"))
	ts.reload(func(c *siteConfig) { c.Keys = nil })
	code := ts.code("client_id", "web")
	check := func(name, client, token string) {
		t.Helper()
		got := ts.introspect(client, token)
		ts.want(got, http.StatusOK, "")
		if got.body != inactive {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	check("foreign", "web", foreign.Access)
	check("made up", "web", oauth.NewSecret(tokens.AccessPrefix))
	check("not in the store", "web", ts.as.accessTokens.New(tokens.Contents{}))
	check("nonsense", "web", "x")
	check("refresh token", "web", own.Refresh)
	check("code", "web", code)
	check("revoked", "web", revoked.Access)
	check("key withdrawn", "web", key.Access)
	ts.clock.Advance(time.Hour)
	check("expired", "web", expired.Access)
	check("expired, for all", "inspector", foreign.Access)
	ts.want(ts.post(introspectPath, "web", url.Values{}), http.StatusBadRequest, "invalid_request")
	ts.store.failing("AccessToken", func() {
		ts.want(ts.introspect("web", own.Access), http.StatusServiceUnavailable, "temporarily_unavailable")
		check("made up, which is no work for the store", "web", oauth.NewSecret(tokens.AccessPrefix))
	})
}

// Where a key was replaced under the same name, its name still may use the
// server. The tokens of the earlier key are good for nothing all the same.
func TestIntrospectKeyReplaced_D09(t *testing.T) {
	ts := newTestServer(t)
	earlier := ts.redeem("web", ts.approved(request("client_id", "web"), keyIdentity("team")).Get("code"))
	if got := ts.introspect("web", earlier.Access); !got.Active {
		t.Fatalf("before: %s", got.body)
	}
	ts.reload(func(c *siteConfig) { c.Keys = replacedKey() })
	if got := ts.introspect("web", earlier.Access); got.body != inactive {
		t.Errorf("after: %s", got.body)
	}
}

// The record decides whose token it is, whatever the token looks like.
func TestIntrospectRecordOfAnotherIssuer_L02(t *testing.T) {
	ts := newTestServer(t)
	issued := ts.redeem("web", ts.code("client_id", "web"))
	for issuer, active := range map[string]bool{testIssuer: true, "https://other.example": false} {
		ts.replace(func(d *Deps) { d.Store = issuedElsewhere{ts.store, issuer} })
		for _, client := range []string{"web", "inspector"} {
			if got := ts.introspect(client, issued.Access); got.status != http.StatusOK || got.Active != active || !active && got.body != inactive {
				t.Errorf("issued by %s, asked by %s: %d %s", issuer, client, got.status, got.body)
			}
		}
	}
}

// issuedElsewhere is a store whose access tokens are of one issuer.
type issuedElsewhere struct {
	Store
	issuer string
}

func (s issuedElsewhere) AccessToken(ctx context.Context, h storage.Hash, now time.Time) (storage.AccessToken, error) {
	t, err := s.Store.AccessToken(ctx, h, now)
	t.Issuer = s.issuer
	return t, err
}
