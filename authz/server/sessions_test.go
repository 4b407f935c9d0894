package server

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// visit is what a browser holds of the pages outside of flows.
type visit struct {
	ts      *testServer
	cookies []*http.Cookie
	csrf    string
}

// load opens a page, keeping what the browser is given.
func (v *visit) load() (*sessions.Session, *httptest.ResponseRecorder, error) {
	r := httptest.NewRequest(http.MethodGet, testIssuer+"/oauth/account", nil)
	for _, c := range v.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	w := httptest.NewRecorder()
	s, err := v.ts.as.Sessions.Open(w, r)
	if cookies := w.Result().Cookies(); len(cookies) > 0 {
		v.cookies = cookies
	}
	if s != nil {
		v.csrf = s.CSRFToken
	}
	return s, w, err
}

// form is a form of that page.
func (v *visit) form(csrf string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/account/x", nil)
	r.PostForm = url.Values{"csrf_token": {csrf}}
	for _, c := range v.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

// signIn signs in as who, in a browser that has seen the page.
func (v *visit) signIn(who storage.Identity) {
	v.ts.t.Helper()
	if _, _, err := v.load(); err != nil {
		v.ts.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if _, err := v.ts.as.Sessions.SignIn(w, v.form(v.csrf), v.ts.login(who)); err != nil {
		v.ts.t.Fatal(err)
	}
	v.cookies = w.Result().Cookies()
}

// subject returns who the browser is.
func (v *visit) subject() string {
	v.ts.t.Helper()
	s, _, err := v.load()
	if err != nil {
		v.ts.t.Fatal(err)
	}
	if s.Identity == nil {
		return ""
	}
	return s.Identity.Subject
}

func TestBrowserCookie_I13_I14(t *testing.T) {
	ts := newTestServer(t)
	v := &visit{ts: ts}
	if v.subject() != "" || len(v.cookies) != 1 || v.cookies[0].MaxAge != 0 {
		t.Errorf("before signing in: %v", v.cookies)
	}
	v.signIn(alice)
	c := v.cookies[0]
	if c.Name != "__Host-mcp_browser" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 30*24*3600 {
		t.Errorf("cookie = %v", c)
	}
	if b, err := base64.RawURLEncoding.DecodeString(c.Value); err != nil || len(b) != 32 {
		t.Errorf("value = %q", c.Value)
	}
	if _, err := ts.store.BrowserSession(t.Context(), storage.HashOf(c.Value), ts.clock.Now()); err != nil {
		t.Errorf("not stored by its hash: %v", err)
	}
	ts = newTestServer(t, func(cfg *siteConfig) { cfg.Issuer = "http://localhost:8080" })
	v = &visit{ts: ts}
	if v.signIn(alice); v.cookies[0].Secure || v.cookies[0].Name != "mcp_browser" {
		t.Errorf("cookie without https = %v", v.cookies[0])
	}
}

// A cookie from before is worth nothing after somebody signed in, whoever
// planted it, and a second sign-in ends the first.
func TestSignInRotates_I11(t *testing.T) {
	ts := newTestServer(t)
	planted := &http.Cookie{Name: "__Host-mcp_browser", Value: oauth.NewSecret("")}
	victim, attacker := &visit{ts: ts, cookies: []*http.Cookie{planted}}, &visit{ts: ts, cookies: []*http.Cookie{planted}}
	victim.signIn(alice)
	if victim.cookies[0].Value == planted.Value || victim.subject() != alice.Subject {
		t.Error("the planted cookie is used")
	}
	if attacker.subject() != "" {
		t.Error("who planted the cookie is signed in")
	}
	first := &visit{ts: ts, cookies: victim.cookies}
	victim.signIn(keyIdentity("team"))
	if first.subject() != "" || victim.subject() != "virtual_key:team" {
		t.Error("the first sign-in goes on")
	}
}

func TestBrowserSessionOfNobody(t *testing.T) {
	ts := newTestServer(t)
	mine := &visit{ts: ts}
	mine.signIn(alice)
	c := mine.cookies[0]
	for name, cookies := range map[string][]*http.Cookie{
		"two of the name (I12)": {c, c},
		"planted beside it":     {{Name: c.Name, Value: "x"}, c},
		"not its prefix":        {{Name: "mcp_browser", Value: c.Value}},
		"unknown":               {{Name: c.Name, Value: oauth.NewSecret("")}},
	} {
		t.Run(name, func(t *testing.T) {
			if v := (&visit{ts: ts, cookies: cookies}); v.subject() != "" {
				t.Error("signed in")
			}
		})
	}
	ts.clock.Advance(30*24*time.Hour - time.Second)
	if mine.subject() != alice.Subject {
		t.Error("ended early")
	}
	ts.clock.Advance(time.Second)
	if mine.subject() != "" {
		t.Error("goes on after its end")
	}
}

func TestBrowserSessionEndsWithTheIdentity_D09(t *testing.T) {
	for name, change := range map[string]func(*siteConfig){
		"key withdrawn":  func(c *siteConfig) { c.Keys = identity.NewVirtualKeys() },
		"kind withdrawn": func(c *siteConfig) { c.SignIn = identity.Methods{identity.ByUserID()} },
		"another issuer": func(c *siteConfig) { c.Issuer = "https://other.example" },
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			v := &visit{ts: ts}
			v.signIn(keyIdentity("team"))
			ts.reload(change)
			if v.subject() != "" {
				t.Error("still signed in")
			}
			if _, err := ts.as.Sessions.SignIn(httptest.NewRecorder(), v.form(""), ts.login(keyIdentity("team"))); name != "another issuer" && !errors.Is(err, sessions.ErrNotAllowed) {
				t.Errorf("signing in: %v", err)
			}
		})
	}
}

func TestBrowserForms_I04(t *testing.T) {
	ts := newTestServer(t)
	v, other := &visit{ts: ts}, &visit{ts: ts}
	v.signIn(alice)
	other.signIn(alice)
	v.subject()
	other.subject()
	token := v.csrf
	if v.subject(); v.csrf != token {
		t.Error("I05: loading the page twice changes its token")
	}
	f := ts.identified(request(), alice)
	for name, tt := range map[string]struct {
		r    *http.Request
		want error
	}{
		"right":                {v.form(token), nil},
		"none":                 {v.form(""), sessions.ErrForged},
		"of another browser":   {v.form(other.csrf), sessions.ErrForged},
		"of a flow":            {v.form(f.CSRFToken), sessions.ErrForged},
		"without the cookie":   {(&visit{ts: ts}).form(token), sessions.ErrForged},
		"of before signing in": {v.form(oauth.NewSecret("")), sessions.ErrForged},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ts.as.Sessions.Open(httptest.NewRecorder(), tt.r)
			if !errors.Is(err, tt.want) || (s == nil) != (tt.want != nil) {
				t.Errorf("OpenBrowserSession = %v, %v", s, err)
			}
		})
	}
}

func TestSignOut_I15(t *testing.T) {
	ts := newTestServer(t)
	v := &visit{ts: ts}
	v.signIn(alice)
	elsewhere := &visit{ts: ts}
	elsewhere.signIn(alice)
	w := httptest.NewRecorder()
	if err := ts.as.Sessions.SignOut(w, v.form("")); err != nil {
		t.Fatal(err)
	}
	if c := w.Result().Cookies(); len(c) != 1 || c[0].Name != v.cookies[0].Name || c[0].MaxAge >= 0 || c[0].Value != "" {
		t.Errorf("the cookie stays: %v", c)
	}
	if v.subject() != "" {
		t.Error("the old cookie still works")
	}
	if elsewhere.subject() != alice.Subject {
		t.Error("signed out elsewhere")
	}
}

func TestSignOutEverywhere_I15(t *testing.T) {
	ts := newTestServer(t)
	one, two, other := &visit{ts: ts}, &visit{ts: ts}, &visit{ts: ts}
	one.signIn(alice)
	two.signIn(alice)
	other.signIn(keyIdentity("team"))
	mine := ts.post(TokenPath, "app", url.Values{"grant_type": {"authorization_code"}, "code": {ts.code()}, "code_verifier": {testVerifier}})
	if mine.Access == "" {
		t.Fatal(mine.body)
	}
	gate := ts.as.Gate(ts.as.cfg.Servers[0], nil)
	passes := func() bool {
		r := httptest.NewRequest(http.MethodPost, notionResource, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+mine.Access)
		return gate.Check(httptest.NewRecorder(), r) != nil
	}
	if !passes() {
		t.Fatal("the access token does not work")
	}
	if ended, err := ts.as.Persons.End(t.Context(), alice.Subject); err != nil || len(ended) != 1 {
		t.Fatal(ended, err)
	}
	if one.subject() != "" || two.subject() != "" || other.subject() == "" {
		t.Error("not all, or others, are signed out")
	}
	if passes() {
		t.Error("the access token still works")
	}
	if grants, err := ts.as.Grants.List(t.Context(), alice.Subject); err != nil || len(grants) > 0 {
		t.Errorf("grants = %v, %v", grants, err)
	}
}
