package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

func TestSignInAndRefresh_AS60_AS62_AS64_AS65_AS70_C13(t *testing.T) {
	for _, client := range []string{"app", "web"} {
		for _, redirect := range []string{testRedirect, "-"} {
			t.Run(client+" "+redirect, func(t *testing.T) {
				ts := newTestServer(t)
				code := ts.code("client_id", client)
				before := ts.store.writes.Load()
				first := ts.redeem(client, code, "redirect_uri", redirect)
				ts.want(first, http.StatusOK, "")
				if first.Type != "Bearer" || first.Expires != 3600 || first.Scope != "mcp:use" {
					t.Errorf("response = %s", first.body)
				}
				if !strings.HasPrefix(first.Access, tokens.AccessPrefix) || !strings.HasPrefix(first.Refresh, tokens.RefreshPrefix) {
					t.Errorf("response = %s", first.body)
				}
				if n := ts.store.writes.Load() - before; n != 1 {
					t.Errorf("%d writes", n)
				}
				ts.clock.Advance(30 * time.Minute)
				second := ts.refresh(client, first.Refresh)
				ts.want(second, http.StatusOK, "")
				if second.Access == first.Access || second.Refresh == first.Refresh || second.Expires != 3600 || second.Scope != "mcp:use" {
					t.Errorf("response = %s", second.body)
				}
				if n := ts.store.writes.Load() - before; n != 2 {
					t.Errorf("%d writes", n)
				}
				if !ts.live(first.Access) || !ts.live(second.Access) {
					t.Error("an access token does not work")
				}
			})
		}
	}
}

// A client of the revision 2025-03-26 that finds no metadata, or reads none,
// uses these paths from registration to refresh, and names no resource.
func TestDefaultPaths_AS33_AS40_AS60(t *testing.T) {
	ts := newTestServer(t)
	other := ts.register(publicClient)
	reg := ts.registered(ts.send(http.MethodPost, "/register", publicClient), http.StatusCreated)
	if reg.ID == other.ID || reg.AuthMethod != oauth.AuthNone {
		t.Fatalf("registered %+v", reg)
	}
	v := request("client_id", reg.ID, "redirect_uri", "http://127.0.0.1:5000/cb", "resource", "-", "scope", "-")
	w := ts.serve(httptest.NewRequest(http.MethodGet, testIssuer+"/authorize?"+v.Encode(), nil))
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusFound {
		t.Fatalf("authorize: %d %s", w.Code, w.Body)
	}
	b := browser{location.Query().Get("flow_id"), w.Result().Cookies()[0]}
	if err := ts.as.Flows.Identify(t.Context(), ts.open(b), alice); err != nil {
		t.Fatal(err)
	}
	target, err := ts.as.Flows.Approve(t.Context(), ts.open(b), flows.Approval{Resources: []string{mainResource}})
	if err != nil {
		t.Fatal(err)
	}
	issued := ts.post("/token", reg.ID, redemption(answer(t, target).Get("code"), "redirect_uri", "http://127.0.0.1:5000/cb", "resource", "-"))
	ts.want(issued, http.StatusOK, "")
	again := ts.post("/token", reg.ID, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {issued.Refresh}})
	ts.want(again, http.StatusOK, "")
	if !ts.live(issued.Access) || !ts.live(again.Access) || again.Scope != "mcp:use" {
		t.Errorf("answer %s", again.body)
	}
	ts.want(ts.refresh(other.ID, again.Refresh), http.StatusBadRequest, "invalid_grant")
}

func TestTokenRequestForm_A18_C11_C12(t *testing.T) {
	good := func(ts *testServer) string { return with(redemption(ts.code()), "client_id", "app").Encode() }
	tests := []struct {
		name   string
		method string
		types  []string
		body   func(*testServer) string
		status int
	}{
		{"json", http.MethodPost, []string{"application/json"}, good, http.StatusBadRequest},
		{"multipart", http.MethodPost, []string{"multipart/form-data; boundary=x"}, good, http.StatusBadRequest},
		{"list of types", http.MethodPost, []string{"application/json, application/x-www-form-urlencoded"}, good, http.StatusBadRequest},
		{"two types", http.MethodPost, []string{"application/x-www-form-urlencoded", "application/json"}, good, http.StatusBadRequest},
		{"no type", http.MethodPost, nil, good, http.StatusBadRequest},
		{"empty type", http.MethodPost, []string{""}, good, http.StatusBadRequest},
		{"10 MiB", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(*testServer) string { return strings.Repeat("a", 10<<20) }, http.StatusRequestEntityTooLarge},
		{"empty", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(*testServer) string { return "" }, http.StatusBadRequest},
		{"malformed", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(*testServer) string { return "grant_type=%zz" }, http.StatusBadRequest},
		{"repeated code", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(ts *testServer) string { return good(ts) + "&code=x" }, http.StatusBadRequest},
		{"101 parameters", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(ts *testServer) string { return good(ts) + strings.Repeat("&a=b", 101) }, http.StatusBadRequest},
		{"get", http.MethodGet, nil, good, http.StatusMethodNotAllowed},
		{"put", http.MethodPut, []string{"application/x-www-form-urlencoded"}, good, http.StatusMethodNotAllowed},
	}
	for _, tt := range tests {
		for _, path := range []string{TokenPath, "/token"} {
			t.Run(tt.name+" "+path, func(t *testing.T) {
				ts := newTestServer(t)
				body := tt.body(ts)
				before := ts.store.writes.Load()
				// The query says it all, too: it must not be read.
				r := httptest.NewRequest(tt.method, testIssuer+path+"?"+good(newTestServer(t)), strings.NewReader(body))
				r.Header["Content-Type"] = tt.types
				got := ts.reply(ts.serve(r))
				if got.status != tt.status || got.Access != "" {
					t.Errorf("answer = %d %s, want %d", got.status, got.body, tt.status)
				}
				if n := ts.store.writes.Load() - before; n != 0 {
					t.Errorf("%d writes", n)
				}
			})
		}
	}
	t.Run("charset is fine", func(t *testing.T) {
		ts := newTestServer(t)
		r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(good(ts)))
		r.Header.Set("Content-Type", "Application/X-WWW-Form-Urlencoded;charset=UTF-8")
		ts.want(ts.reply(ts.serve(r)), http.StatusOK, "")
	})
}

func TestGrantTypes_C14_C15_C18(t *testing.T) {
	for _, grantType := range []string{
		"password", "implicit", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer",
		"urn:ietf:params:oauth:grant-type:device_code", `"><script>canary`, "AUTHORIZATION_CODE",
	} {
		t.Run(grantType, func(t *testing.T) {
			ts := newTestServer(t)
			got := ts.redeem("app", ts.code(), "grant_type", grantType)
			ts.want(got, http.StatusBadRequest, "unsupported_grant_type")
			if strings.Contains(got.body, "canary") {
				t.Errorf("reflected: %s", got.body)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		ts := newTestServer(t)
		ts.want(ts.redeem("app", ts.code(), "grant_type", "-"), http.StatusBadRequest, "invalid_request")
	})
	t.Run("not registered", func(t *testing.T) {
		ts := newTestServer(t)
		got := ts.redeem("once", ts.code("client_id", "once"))
		ts.want(got, http.StatusOK, "")
		if got.Refresh != "" {
			t.Error("a client that cannot refresh got a refresh token")
		}
		ts.want(ts.refresh("once", ts.signedIn().Refresh), http.StatusBadRequest, "unauthorized_client")
	})
}

func TestClientAuthentication_AS63_C02(t *testing.T) {
	ts := newTestServer(t)
	code := ts.code("client_id", "web")
	ts.want(ts.redeem("", code), http.StatusUnauthorized, "invalid_client")
	got := ts.redeem("", code, "client_id", "web")
	if got.Error != "invalid_client" || got.Access != "" {
		t.Errorf("without its secret: %s", got.body)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(redemption(code).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", "wrong")
	got = ts.reply(ts.serve(r))
	ts.want(got, http.StatusUnauthorized, "invalid_client")
	if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("WWW-Authenticate = %q", got.header.Get("WWW-Authenticate"))
	}
	ts.want(ts.redeem("web", code), http.StatusOK, "")
}

func TestTokenCORS_C16_AS73(t *testing.T) {
	ts := newTestServer(t)
	for _, path := range []string{TokenPath, "/token", revokePath, introspectPath} {
		r := httptest.NewRequest(http.MethodOptions, testIssuer+path, nil)
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		w := ts.serve(r)
		if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: preflight = %d %v", path, w.Code, w.Header())
		}
		if !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%s: Authorization is not allowed: %v", path, w.Header())
		}
	}
}

// Lifetimes: nothing outlives what it came from.
func TestLifetimes_AS65_AS69(t *testing.T) {
	tests := []struct {
		name    string
		client  string
		change  func(*config.Lifetimes)
		expires time.Duration
	}{
		{"access token", "app", func(ts *config.Lifetimes) { ts.AccessTokenLifetime = config.Duration(5 * time.Minute) }, 5 * time.Minute},
		{"not beyond the refresh token", "app", func(ts *config.Lifetimes) { ts.RefreshTokenLifetime = config.Duration(time.Minute) }, time.Minute},
		{"not beyond the absolute end", "app", func(ts *config.Lifetimes) { ts.AbsoluteGrantLifetime = config.Duration(2 * time.Minute) }, 2 * time.Minute},
		{"not beyond a grant without refresh", "once", func(ts *config.Lifetimes) { ts.GrantLifetime = config.Duration(3 * time.Minute) }, 3 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t, func(c *siteConfig) { tt.change(&c.Lifetimes) })
			got := ts.redeem(tt.client, ts.code("client_id", tt.client))
			if want := int64(tt.expires / time.Second); got.Expires != want {
				t.Errorf("expires_in = %d, want %d", got.Expires, want)
			}
			ts.clock.Advance(tt.expires - time.Second)
			if !ts.live(got.Access) {
				t.Error("it ended early")
			}
			ts.clock.Advance(time.Second)
			if ts.live(got.Access) {
				t.Error("it works on")
			}
		})
	}
}

func TestTokenStoreDown_L07_B15(t *testing.T) {
	for _, verb := range []string{"*", "Code", "Grant", "ClaimCode", "RefreshToken", "RotateRefreshToken"} {
		t.Run(verb, func(t *testing.T) {
			ts := newTestServer(t)
			code, issued := ts.code(), ts.signedIn()
			ts.store.failing(verb, func() {
				for _, got := range []reply{ts.redeem("app", code), ts.refresh("app", issued.Refresh)} {
					if got.status == http.StatusOK && verb != "*" {
						continue // the other of the two
					}
					ts.want(got, http.StatusServiceUnavailable, "temporarily_unavailable")
					if got.Access != "" || got.header.Get("Retry-After") == "" {
						t.Errorf("answer = %v %s", got.header, got.body)
					}
				}
			})
		})
	}
}

func FuzzTokenForm(f *testing.F) {
	ts := newTestServer(f)
	f.Add(with(redemption(tokens.CodePrefix+"x"), "client_id", "app").Encode())
	f.Add("grant_type=refresh_token&client_id=app&refresh_token=mcprt_x&scope=a&resource=b&resource=c")
	f.Add("grant_type=%zz&&=;")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, testIssuer+TokenPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := ts.serve(r)
		if w.Code < 400 || w.Code >= 500 || w.Header().Get("Content-Type") != "application/json" || ts.store.writes.Load() != 0 {
			t.Errorf("answer = %d %s", w.Code, w.Body)
		}
	})
}
