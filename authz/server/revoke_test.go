package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

func (ts *testServer) revoke(client, token string, changes ...string) reply {
	ts.t.Helper()
	return ts.post(revokePath, client, with(url.Values{"token": {token}}, changes...))
}

func TestRevoke_L06_L08(t *testing.T) {
	tests := []struct {
		name, token, hint string
		grant             bool // the whole of it ends
	}{
		{"refresh token", "refresh", "-", true},
		{"refresh token, right hint", "refresh", "refresh_token", true},
		{"refresh token, wrong hint", "refresh", "access_token", true},
		{"refresh token, unknown hint", "refresh", "saml", true},
		{"rotated refresh token", "rotated", "-", true},
		{"access token", "access", "-", false},
		{"access token, wrong hint", "access", "refresh_token", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			first := ts.signedIn()
			second := ts.refresh("app", first.Refresh)
			if !ts.live(first.Access) || !ts.live(second.Access) { // and cached, from here on
				t.Fatal("a token does not work")
			}
			token := map[string]string{"refresh": second.Refresh, "rotated": first.Refresh, "access": second.Access}[tt.token]
			got := ts.revoke("app", token, "token_type_hint", tt.hint)
			ts.want(got, http.StatusOK, "")
			if got.body != "" {
				t.Errorf("body = %q", got.body)
			}
			if ts.live(second.Access) || ts.live(first.Access) == tt.grant {
				t.Errorf("access tokens live: %v, %v", ts.live(first.Access), ts.live(second.Access))
			}
			want := http.StatusOK
			if tt.grant {
				want = http.StatusBadRequest
			}
			if got := ts.refresh("app", second.Refresh); got.status != want {
				t.Errorf("refresh = %d, want %d", got.status, want)
			}
			ts.want(ts.revoke("app", token), http.StatusOK, "")
		})
	}
}

func TestRevokeForeign_L05(t *testing.T) {
	ts := newTestServer(t)
	issued := ts.signedIn()
	for _, client := range []string{"foreign", "web", "inspector"} {
		for _, token := range []string{issued.Access, issued.Refresh} {
			ts.want(ts.revoke(client, token), http.StatusOK, "")
		}
	}
	if !ts.live(issued.Access) {
		t.Error("the access token was revoked")
	}
	ts.want(ts.refresh("app", issued.Refresh), http.StatusOK, "")
}

func TestRevokeRequests(t *testing.T) {
	ts := newTestServer(t)
	for _, token := range []string{"x", oauth.NewSecret(tokens.AccessPrefix), oauth.NewSecret(tokens.RefreshPrefix), ts.code()} {
		ts.want(ts.revoke("app", token), http.StatusOK, "")
	}
	ts.want(ts.revoke("app", ""), http.StatusBadRequest, "invalid_request")
	ts.want(ts.revoke("", oauth.NewSecret(tokens.AccessPrefix)), http.StatusUnauthorized, "invalid_client")
	if got := ts.revoke("", oauth.NewSecret(tokens.AccessPrefix), "client_id", "web"); got.Error != "invalid_client" {
		t.Errorf("without its secret: %s", got.body)
	}
	if w := ts.serve(httptest.NewRequest(http.MethodGet, testIssuer+revokePath, nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET = %d", w.Code)
	}
}

func TestRevokeStoreDown_L07(t *testing.T) {
	for verb, pick := range map[string]func(reply) string{
		"RevokeGrant":       func(r reply) string { return r.Refresh },
		"RefreshToken":      func(r reply) string { return r.Refresh },
		"RevokeAccessToken": func(r reply) string { return r.Access },
	} {
		t.Run(verb, func(t *testing.T) {
			ts := newTestServer(t)
			issued := ts.signedIn()
			ts.store.failing(verb, func() {
				ts.want(ts.revoke("app", pick(issued)), http.StatusServiceUnavailable, "temporarily_unavailable")
			})
			if !ts.live(issued.Access) {
				t.Error("the token's state changed")
			}
			ts.want(ts.revoke("app", pick(issued)), http.StatusOK, "")
			if ts.live(issued.Access) {
				t.Error("the token works on")
			}
		})
	}
}
