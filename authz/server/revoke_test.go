package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

const inactive = `{"active":false}`

func (l *lab) revoke(client, token string, changes ...string) reply {
	l.t.Helper()
	return l.post(RevokePath, client, with(url.Values{"token": {token}}, changes...))
}

func (l *lab) introspect(client, token string) reply {
	l.t.Helper()
	return l.post(IntrospectPath, client, url.Values{"token": {token}})
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
			l := newLab(t)
			first := l.signedIn()
			second := l.refresh("app", first.Refresh)
			if !l.live(first.Access) || !l.live(second.Access) { // and cached, from here on
				t.Fatal("a token does not work")
			}
			token := map[string]string{"refresh": second.Refresh, "rotated": first.Refresh, "access": second.Access}[tt.token]
			got := l.revoke("app", token, "token_type_hint", tt.hint)
			l.want(got, http.StatusOK, "")
			if got.body != "" {
				t.Errorf("body = %q", got.body)
			}
			if l.live(second.Access) || l.live(first.Access) == tt.grant {
				t.Errorf("access tokens live: %v, %v", l.live(first.Access), l.live(second.Access))
			}
			want := http.StatusOK
			if tt.grant {
				want = http.StatusBadRequest
			}
			if got := l.refresh("app", second.Refresh); got.status != want {
				t.Errorf("refresh = %d, want %d", got.status, want)
			}
			l.want(l.revoke("app", token), http.StatusOK, "")
		})
	}
}

func TestRevokeForeign_L05(t *testing.T) {
	l := newLab(t)
	issued := l.signedIn()
	for _, client := range []string{"foreign", "web", "inspector"} {
		for _, token := range []string{issued.Access, issued.Refresh} {
			l.want(l.revoke(client, token), http.StatusOK, "")
		}
	}
	if !l.live(issued.Access) {
		t.Error("the access token was revoked")
	}
	l.want(l.refresh("app", issued.Refresh), http.StatusOK, "")
}

func TestRevokeRequests(t *testing.T) {
	l := newLab(t)
	for _, token := range []string{"x", oauth.NewSecret(tokens.AccessPrefix), oauth.NewSecret(tokens.RefreshPrefix), l.code()} {
		l.want(l.revoke("app", token), http.StatusOK, "")
	}
	l.want(l.revoke("app", ""), http.StatusBadRequest, "invalid_request")
	l.want(l.revoke("", oauth.NewSecret(tokens.AccessPrefix)), http.StatusUnauthorized, "invalid_client")
	if got := l.revoke("", oauth.NewSecret(tokens.AccessPrefix), "client_id", "web"); got.Error != "invalid_client" {
		t.Errorf("without its secret: %s", got.body)
	}
	if w := l.serve(httptest.NewRequest(http.MethodGet, labIssuer+RevokePath, nil)); w.Code != http.StatusMethodNotAllowed {
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
			l := newLab(t)
			issued := l.signedIn()
			l.store.failing(verb, func() {
				l.want(l.revoke("app", pick(issued)), http.StatusServiceUnavailable, "temporarily_unavailable")
			})
			if !l.live(issued.Access) {
				t.Error("the token's state changed")
			}
			l.want(l.revoke("app", pick(issued)), http.StatusOK, "")
			if l.live(issued.Access) {
				t.Error("the token works on")
			}
		})
	}
}

func TestIntrospect(t *testing.T) {
	l := newLab(t)
	issued := l.redeem("web", l.approved(request("client_id", "web", "scope", "mcp:use notion:admin"), alice).Get("code"))
	want := map[string]any{
		"active": true, "scope": "mcp:use notion:admin", "client_id": "web", "token_type": "Bearer", "sub": "user_id:alice",
		"aud": []any{labNotion}, "iss": labIssuer, "exp": float64(labStart.Add(time.Hour).Unix()), "iat": float64(labStart.Unix()),
	}
	for _, client := range []string{"web", "inspector"} {
		got := l.introspect(client, issued.Access)
		l.want(got, http.StatusOK, "")
		var members map[string]any
		if err := json.Unmarshal([]byte(got.body), &members); err != nil || !reflect.DeepEqual(members, want) {
			t.Errorf("%s: %s", client, got.body)
		}
	}
}

func TestIntrospectAnonymous_L01(t *testing.T) {
	l := newLab(t)
	issued := l.signedIn()
	for _, client := range []string{"app", "foreign"} {
		l.want(l.introspect(client, issued.Access), http.StatusUnauthorized, "invalid_client")
	}
	if got := l.introspect("", issued.Access); got.status == http.StatusOK || got.Active {
		t.Errorf("without client: %d %s", got.status, got.body)
	}
	r := httptest.NewRequest(http.MethodPost, labIssuer+IntrospectPath, strings.NewReader(url.Values{"token": {issued.Access}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", "wrong")
	l.want(l.reply(l.serve(r)), http.StatusUnauthorized, "invalid_client")
}

func TestInactive_L02_L03_L04(t *testing.T) {
	l := newLab(t)
	foreign := l.signedIn()
	own := l.redeem("web", l.code("client_id", "web"))
	revoked := l.redeem("web", l.code("client_id", "web"))
	l.revoke("web", revoked.Access)
	expired := l.redeem("web", l.code("client_id", "web"))
	key := l.redeem("web", l.approved(request("client_id", "web"), keyIdentity("team")).Get("code"))
	l.reload(func(c *labSite) { c.Keys = nil })
	code := l.code("client_id", "web")
	check := func(name, client, token string) {
		t.Helper()
		got := l.introspect(client, token)
		l.want(got, http.StatusOK, "")
		if got.body != inactive {
			t.Errorf("%s: %s", name, got.body)
		}
	}
	check("foreign", "web", foreign.Access)
	check("made up", "web", oauth.NewSecret(tokens.AccessPrefix))
	check("not in the store", "web", l.as.tokens.New())
	check("nonsense", "web", "x")
	check("refresh token", "web", own.Refresh)
	check("code", "web", code)
	check("revoked", "web", revoked.Access)
	check("key withdrawn", "web", key.Access)
	l.advance(time.Hour)
	check("expired", "web", expired.Access)
	check("expired, for all", "inspector", foreign.Access)
	l.want(l.post(IntrospectPath, "web", url.Values{}), http.StatusBadRequest, "invalid_request")
	l.store.failing("AccessToken", func() {
		l.want(l.introspect("web", own.Access), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
}
