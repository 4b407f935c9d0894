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
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

func TestSignInAndRefresh_AS60_AS62_AS64_AS65_AS70_C13(t *testing.T) {
	for _, client := range []string{"app", "web"} {
		for _, redirect := range []string{labRedirect, "-"} {
			t.Run(client+" "+redirect, func(t *testing.T) {
				l := newLab(t)
				code := l.code("client_id", client)
				before := l.store.writes.Load()
				first := l.redeem(client, code, "redirect_uri", redirect)
				l.want(first, http.StatusOK, "")
				if first.Type != "Bearer" || first.Expires != 3600 || first.Scope != "mcp:use" {
					t.Errorf("response = %s", first.body)
				}
				if !strings.HasPrefix(first.Access, tokens.AccessPrefix) || !strings.HasPrefix(first.Refresh, tokens.RefreshPrefix) {
					t.Errorf("response = %s", first.body)
				}
				if n := l.store.writes.Load() - before; n != 1 {
					t.Errorf("%d writes", n)
				}
				l.advance(30 * time.Minute)
				second := l.refresh(client, first.Refresh)
				l.want(second, http.StatusOK, "")
				if second.Access == first.Access || second.Refresh == first.Refresh || second.Expires != 3600 || second.Scope != "mcp:use" {
					t.Errorf("response = %s", second.body)
				}
				if n := l.store.writes.Load() - before; n != 2 {
					t.Errorf("%d writes", n)
				}
				if !l.live(first.Access) || !l.live(second.Access) {
					t.Error("an access token does not work")
				}
			})
		}
	}
}

// A client of the revision 2025-03-26 that finds no metadata, or reads none,
// uses these paths from registration to refresh, and names no resource.
func TestDefaultPaths_AS33_AS40_AS60(t *testing.T) {
	l := newLab(t)
	other := l.register(publicClient)
	reg := l.registered(l.send(http.MethodPost, "/register", publicClient), http.StatusCreated)
	if reg.ID == other.ID || reg.AuthMethod != oauth.AuthNone {
		t.Fatalf("registered %+v", reg)
	}
	v := request("client_id", reg.ID, "redirect_uri", "http://127.0.0.1:5000/cb", "resource", "-", "scope", "-")
	w := l.serve(httptest.NewRequest(http.MethodGet, labIssuer+"/authorize?"+v.Encode(), nil))
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusFound {
		t.Fatalf("authorize: %d %s", w.Code, w.Body)
	}
	b := browser{location.Query().Get("flow_id"), w.Result().Cookies()[0]}
	if err := l.as.Flows.Identify(t.Context(), l.open(b), alice); err != nil {
		t.Fatal(err)
	}
	target, err := l.as.Flows.Approve(t.Context(), l.open(b), flows.Approval{Resources: []string{labMain}})
	if err != nil {
		t.Fatal(err)
	}
	issued := l.post("/token", reg.ID, redemption(answer(t, target).Get("code"), "redirect_uri", "http://127.0.0.1:5000/cb", "resource", "-"))
	l.want(issued, http.StatusOK, "")
	again := l.post("/token", reg.ID, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {issued.Refresh}})
	l.want(again, http.StatusOK, "")
	if !l.live(issued.Access) || !l.live(again.Access) || again.Scope != "mcp:use" {
		t.Errorf("answer %s", again.body)
	}
	l.want(l.refresh(other.ID, again.Refresh), http.StatusBadRequest, "invalid_grant")
}

func TestTokenRequestForm_A18_C11_C12(t *testing.T) {
	good := func(l *lab) string { return with(redemption(l.code()), "client_id", "app").Encode() }
	tests := []struct {
		name   string
		method string
		types  []string
		body   func(*lab) string
		status int
	}{
		{"json", http.MethodPost, []string{"application/json"}, good, http.StatusBadRequest},
		{"multipart", http.MethodPost, []string{"multipart/form-data; boundary=x"}, good, http.StatusBadRequest},
		{"list of types", http.MethodPost, []string{"application/json, application/x-www-form-urlencoded"}, good, http.StatusBadRequest},
		{"two types", http.MethodPost, []string{"application/x-www-form-urlencoded", "application/json"}, good, http.StatusBadRequest},
		{"no type", http.MethodPost, nil, good, http.StatusBadRequest},
		{"empty type", http.MethodPost, []string{""}, good, http.StatusBadRequest},
		{"10 MiB", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(*lab) string { return strings.Repeat("a", 10<<20) }, http.StatusRequestEntityTooLarge},
		{"empty", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(*lab) string { return "" }, http.StatusBadRequest},
		{"malformed", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(*lab) string { return "grant_type=%zz" }, http.StatusBadRequest},
		{"repeated code", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(l *lab) string { return good(l) + "&code=x" }, http.StatusBadRequest},
		{"101 parameters", http.MethodPost, []string{"application/x-www-form-urlencoded"}, func(l *lab) string { return good(l) + strings.Repeat("&a=b", 101) }, http.StatusBadRequest},
		{"get", http.MethodGet, nil, good, http.StatusMethodNotAllowed},
		{"put", http.MethodPut, []string{"application/x-www-form-urlencoded"}, good, http.StatusMethodNotAllowed},
	}
	for _, tt := range tests {
		for _, path := range []string{TokenPath, "/token"} {
			t.Run(tt.name+" "+path, func(t *testing.T) {
				l := newLab(t)
				body := tt.body(l)
				before := l.store.writes.Load()
				// The query says it all, too: it must not be read.
				r := httptest.NewRequest(tt.method, labIssuer+path+"?"+good(newLab(t)), strings.NewReader(body))
				r.Header["Content-Type"] = tt.types
				got := l.reply(l.serve(r))
				if got.status != tt.status || got.Access != "" {
					t.Errorf("answer = %d %s, want %d", got.status, got.body, tt.status)
				}
				if n := l.store.writes.Load() - before; n != 0 {
					t.Errorf("%d writes", n)
				}
			})
		}
	}
	t.Run("charset is fine", func(t *testing.T) {
		l := newLab(t)
		r := httptest.NewRequest(http.MethodPost, labIssuer+TokenPath, strings.NewReader(good(l)))
		r.Header.Set("Content-Type", "Application/X-WWW-Form-Urlencoded;charset=UTF-8")
		l.want(l.reply(l.serve(r)), http.StatusOK, "")
	})
}

func TestGrantTypes_C14_C15_C18(t *testing.T) {
	for _, grantType := range []string{
		"password", "implicit", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer",
		"urn:ietf:params:oauth:grant-type:device_code", `"><script>canary`, "AUTHORIZATION_CODE",
	} {
		t.Run(grantType, func(t *testing.T) {
			l := newLab(t)
			got := l.redeem("app", l.code(), "grant_type", grantType)
			l.want(got, http.StatusBadRequest, "unsupported_grant_type")
			if strings.Contains(got.body, "canary") {
				t.Errorf("reflected: %s", got.body)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		l := newLab(t)
		l.want(l.redeem("app", l.code(), "grant_type", "-"), http.StatusBadRequest, "invalid_request")
	})
	t.Run("not registered", func(t *testing.T) {
		l := newLab(t)
		got := l.redeem("once", l.code("client_id", "once"))
		l.want(got, http.StatusOK, "")
		if got.Refresh != "" {
			t.Error("a client that cannot refresh got a refresh token")
		}
		l.want(l.refresh("once", l.signedIn().Refresh), http.StatusBadRequest, "unauthorized_client")
	})
}

func TestClientAuthentication_AS63_C02(t *testing.T) {
	l := newLab(t)
	code := l.code("client_id", "web")
	l.want(l.redeem("", code), http.StatusUnauthorized, "invalid_client")
	got := l.redeem("", code, "client_id", "web")
	if got.Error != "invalid_client" || got.Access != "" {
		t.Errorf("without its secret: %s", got.body)
	}
	r := httptest.NewRequest(http.MethodPost, labIssuer+TokenPath, strings.NewReader(redemption(code).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", "wrong")
	got = l.reply(l.serve(r))
	l.want(got, http.StatusUnauthorized, "invalid_client")
	if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("WWW-Authenticate = %q", got.header.Get("WWW-Authenticate"))
	}
	l.want(l.redeem("web", code), http.StatusOK, "")
}

func TestTokenCORS_C16_AS73(t *testing.T) {
	l := newLab(t)
	for _, path := range []string{TokenPath, "/token", RevokePath, IntrospectPath} {
		r := httptest.NewRequest(http.MethodOptions, labIssuer+path, nil)
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		w := l.serve(r)
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
		{"access token", "app", func(l *config.Lifetimes) { l.AccessTokenLifetime = config.Duration(5 * time.Minute) }, 5 * time.Minute},
		{"not beyond the refresh token", "app", func(l *config.Lifetimes) { l.RefreshTokenLifetime = config.Duration(time.Minute) }, time.Minute},
		{"not beyond the absolute end", "app", func(l *config.Lifetimes) { l.AbsoluteGrantLifetime = config.Duration(2 * time.Minute) }, 2 * time.Minute},
		{"not beyond a grant without refresh", "once", func(l *config.Lifetimes) { l.GrantLifetime = config.Duration(3 * time.Minute) }, 3 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, func(c *labSite) { tt.change(&c.Lifetimes) })
			got := l.redeem(tt.client, l.code("client_id", tt.client))
			if want := int64(tt.expires / time.Second); got.Expires != want {
				t.Errorf("expires_in = %d, want %d", got.Expires, want)
			}
			l.advance(tt.expires - time.Second)
			if !l.live(got.Access) {
				t.Error("it ended early")
			}
			l.advance(time.Second)
			if l.live(got.Access) {
				t.Error("it works on")
			}
		})
	}
}

func TestTokenStoreDown_L07_B15(t *testing.T) {
	for _, verb := range []string{"*", "Code", "Grant", "ClaimCode", "RefreshToken", "RotateRefreshToken"} {
		t.Run(verb, func(t *testing.T) {
			l := newLab(t)
			code, issued := l.code(), l.signedIn()
			l.store.failing(verb, func() {
				for _, got := range []reply{l.redeem("app", code), l.refresh("app", issued.Refresh)} {
					if got.status == http.StatusOK && verb != "*" {
						continue // the other of the two
					}
					l.want(got, http.StatusServiceUnavailable, "temporarily_unavailable")
					if got.Access != "" || got.header.Get("Retry-After") == "" {
						t.Errorf("answer = %v %s", got.header, got.body)
					}
				}
			})
		})
	}
}

func FuzzTokenForm(f *testing.F) {
	l := newLab(f)
	f.Add(with(redemption(tokens.CodePrefix+"x"), "client_id", "app").Encode())
	f.Add("grant_type=refresh_token&client_id=app&refresh_token=mcprt_x&scope=a&resource=b&resource=c")
	f.Add("grant_type=%zz&&=;")
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, labIssuer+TokenPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := l.serve(r)
		if w.Code < 400 || w.Code >= 500 || w.Header().Get("Content-Type") != "application/json" || l.store.writes.Load() != 0 {
			t.Errorf("answer = %d %s", w.Code, w.Body)
		}
	})
}
