package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// company is an identity provider whose logout tokens are the jti, sub and sid,
// separated by slashes.
func company(c *siteConfig) {
	c.SignIn = append(c.SignIn, identity.Method{
		Kind: "oidc:company", Form: "oidc-company", ExcludesStrangers: true, RenewEvery: 15 * time.Minute,
		Renew:  func(_ context.Context, p identity.Person) (identity.Person, error) { return p, errors.New("down") },
		MayUse: func(id storage.Identity, server string) bool { return slices.Contains(id.Claims.Groups, server) },
		Logout: func(_ context.Context, token string) (identity.Logout, error) {
			parts := strings.Split(token, "/")
			switch {
			case token == "down":
				return identity.Logout{}, &identity.Unavailable{Cause: errors.New("no keys")}
			case len(parts) != 3:
				return identity.Logout{}, &identity.Denied{Code: "untrusted", Cause: errors.New("it is signed by none of the provider's keys")}
			}
			return identity.Logout{ID: parts[0], Subject: parts[1], Session: parts[2], ExpiresAt: testStart.Add(time.Hour)}, nil
		},
	})
}

// employee is somebody who came back from the company's identity provider.
func (ts *testServer) employee(name, secret string) storage.Identity {
	ts.t.Helper()
	p := identity.Person{
		Identity: storage.Identity{
			Kind: "oidc:company", Subject: "oidc:company:" + name, Name: name, Claims: &storage.Claims{Groups: []string{"notion", "main"}},
		},
		Session: "session of " + name,
	}
	if secret != "" {
		p.Secret = []byte(secret)
	}
	id, err := ts.as.Persons.Login(p).Keep(context.Background())
	if err != nil {
		ts.t.Fatal(err)
	}
	return id
}

// login is that of somebody who is known already.
func (ts *testServer) login(who storage.Identity) known { return known{who, ts.store} }

// known is somebody who is known already: nothing is kept of them with their session.
type known struct {
	id    storage.Identity
	store storage.SessionStore
}

func (k known) Identity() storage.Identity { return k.id }

func (k known) CreateBrowserSession(ctx context.Context, b storage.SignIn, cookie func(storage.Identity) storage.Hash) (storage.Identity, error) {
	b.Hash = cookie(k.id)
	return k.id, k.store.CreateBrowserSession(ctx, b)
}

// change renews what the provider says of somebody.
func (ts *testServer) change(id storage.Identity, change func(*storage.Person)) {
	ts.t.Helper()
	p, err := ts.store.Person(context.Background(), testIssuer, id.Subject, ts.clock.Now())
	if err != nil {
		ts.t.Fatal(err)
	}
	change(&p)
	if _, v, err := ts.store.UpdatePerson(context.Background(), p, ts.clock.Now()); err != nil || v != storage.OK {
		ts.t.Fatal(v, err)
	}
}

// D09: what the provider says of a person now decides about tokens that were
// issued before: at the gate within five seconds, at a refresh at once.
func TestGroupRemoved_D09(t *testing.T) {
	ts := newTestServer(t, company)
	jane := ts.employee("jane", "secret")
	got := ts.redeem("app", ts.approved(request(), jane).Get("code"))
	ts.want(got, http.StatusOK, "")
	if status, _ := ts.through("notion", got.Access); status != 200 {
		t.Fatalf("at first: %d", status)
	}
	caller, gate := ts.caller(got.Access)
	ts.change(jane, func(p *storage.Person) { p.Claims = &storage.Claims{Groups: []string{"main"}} })
	ts.clock.Advance(5*time.Second + 1)
	if status, _ := ts.through("notion", got.Access); status != 401 {
		t.Errorf("the gate answers %d, want 401", status)
	}
	if gate.Recheck(caller) {
		t.Error("the stream goes on")
	}
	ts.want(ts.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
	ts.change(jane, func(p *storage.Person) { p.Claims = &storage.Claims{Groups: []string{"notion"}} })
	ts.want(ts.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
}

// While the identity provider says nothing, its people's tokens are refused, and
// work again afterwards.
func TestProviderSilent(t *testing.T) {
	ts := newTestServer(t, company)
	jane := ts.employee("jane", "secret")
	got := ts.redeem("web", ts.approved(request("client_id", "web"), jane).Get("code"))
	v := &visit{ts: ts}
	v.signIn(jane)
	caller, gate := ts.caller(got.Access)
	ts.clock.Advance(30*time.Minute - 1)
	if status, _ := ts.through("notion", got.Access); status != 200 || !gate.Recheck(caller) {
		t.Fatalf("before: %d", status)
	}
	ts.clock.Advance(5*time.Second + 1)
	logged := ts.logs.FilterLevelExact(zap.ErrorLevel).Len()
	if status, challenge := ts.through("notion", got.Access); status != 503 || challenge != "" || gate.Recheck(caller) {
		t.Errorf("the gate: %d %s, want 503", status, challenge)
	}
	refused := ts.refresh("web", got.Refresh)
	ts.want(refused, http.StatusServiceUnavailable, "temporarily_unavailable")
	if refused.header.Get("Retry-After") == "" || !strings.Contains(refused.body, "identity provider") {
		t.Errorf("%v %s", refused.header, refused.body)
	}
	ts.want(ts.introspect("web", got.Access), http.StatusServiceUnavailable, "temporarily_unavailable")
	if n := ts.logs.FilterLevelExact(zap.ErrorLevel).Len() - logged; n != 0 {
		t.Errorf("%d lines for what the log knows", n)
	}
	if s, _, err := v.load(); err != nil || s.Identity != nil {
		t.Errorf("signed in at the pages as %v, %v", s.Identity, err)
	}
	ts.change(jane, func(p *storage.Person) { p.VerifiedAt = ts.clock.Now() })
	ts.clock.Advance(5*time.Second + 1)
	if status, _ := ts.through("notion", got.Access); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
	if s, _, err := v.load(); err != nil || s.Identity == nil {
		t.Errorf("signed in at the pages as %v, %v", s.Identity, err)
	}
	ts.want(ts.refresh("web", got.Refresh), http.StatusOK, "")
}

// D09: whoever cannot be asked about has to sign in again after a while.
func TestSignInAgain_D09(t *testing.T) {
	ts := newTestServer(t, company)
	ts.stopLimits()
	jane := ts.employee("jane", "")
	got := ts.redeem("app", ts.approved(request(), jane).Get("code"))
	ts.clock.Advance(23*time.Hour + 30*time.Minute)
	got = ts.refresh("app", got.Refresh)
	if got.Expires != 1800 {
		t.Errorf("half an hour before the end an access token lives %d s, want 1800", got.Expires)
	}
	again := ts.redeem("app", ts.approved(request(), jane).Get("code"))
	if again.Expires != 1800 {
		t.Errorf("a new approval makes it live %d s, want 1800", again.Expires)
	}
	v := &visit{ts: ts}
	v.signIn(jane)
	ts.clock.Advance(30 * time.Minute)
	if status, _ := ts.through("notion", got.Access); status != 401 {
		t.Errorf("the gate: %d, want 401", status)
	}
	if s, _, err := v.load(); err != nil || s.Identity != nil {
		t.Errorf("signed in at the pages as %v, %v", s.Identity, err)
	}
	ts.want(ts.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
	ts.employee("jane", "")
	ts.want(ts.refresh("app", again.Refresh), http.StatusOK, "") // not used meanwhile, so it never ended
	ts.want(ts.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
}

func (ts *testServer) logOut(method, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, testIssuer+"/oauth/login/backchannel/oidc-company", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return ts.serve(r)
}

// J10: a logout at the identity provider ends what it is about at once, and a
// failure of the store lets the provider try again.
func TestBackchannelLogout_J10(t *testing.T) {
	ts := newTestServer(t, company)
	jane, joe := ts.employee("jane", "secret"), ts.employee("joe", "secret")
	hers, his := ts.redeem("app", ts.approved(request(), jane).Get("code")), ts.redeem("app", ts.approved(request(), joe).Get("code"))
	v := &visit{ts: ts}
	v.signIn(jane)
	for _, got := range []reply{hers, his} {
		if status, _ := ts.through("notion", got.Access); status != 200 {
			t.Fatalf("at first: %d", status)
		}
	}
	pending := ts.identified(request(), jane)
	const token = "jti/oidc:company:jane/session of jane"
	for _, verb := range []string{"Used", "EndPerson", "UseOnce"} {
		ts.store.failing(verb, func() {
			if w := ts.logOut("POST", token); w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s fails: %d %v", verb, w.Code, w.Header())
			}
		})
	}
	if w := ts.logOut("POST", token); w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" || w.Body.Len() > 0 {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if status, _ := ts.through("notion", hers.Access); status != 401 {
		t.Errorf("her token: %d", status)
	}
	ts.want(ts.refresh("app", hers.Refresh), http.StatusBadRequest, "invalid_grant")
	if s, _, err := v.load(); err != nil || s.Identity != nil {
		t.Errorf("she is signed in: %v, %v", s.Identity, err)
	}
	if _, err := ts.as.Flows.Approve(t.Context(), pending, flows.Approval{Resources: []string{notionResource}}); err == nil {
		t.Error("what she had begun could be approved")
	}
	if status, _ := ts.through("notion", his.Access); status != 200 {
		t.Errorf("his token: %d", status)
	}
	if n := ts.logs.FilterMessage("what a person had was ended").Len(); n == 0 {
		t.Error("no line in the log")
	}
}

func TestBackchannelLogoutRefused_J10(t *testing.T) {
	for name, tt := range map[string]struct {
		method, token string
		status        int
		code          string
	}{
		"forged":   {"POST", "forged", 400, "invalid_request"},
		"no token": {"POST", "", 400, "invalid_request"},
		"GET":      {"GET", "jti/oidc:company:jane/", 405, "invalid_request"},
		"no keys":  {"POST", "down", 503, "temporarily_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, company)
			got := ts.redeem("app", ts.approved(request(), ts.employee("jane", "secret")).Get("code"))
			w := ts.logOut(tt.method, tt.token)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), `"error":"`+tt.code+`"`) || !strings.Contains(w.Body.String(), "correlation_id") ||
				w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if status, _ := ts.through("notion", got.Access); status != 200 {
				t.Errorf("the token: %d", status)
			}
		})
	}
	ts := newTestServer(t, company)
	for range 100 {
		ts.logOut("POST", "forged")
	}
	if n := ts.logged(event.LogoutRefused).FilterLevelExact(zap.InfoLevel).Len(); n != 20 {
		t.Errorf("%d lines of 100 refusals, want 20", n)
	}
	ts.logOut("POST", "jti/oidc:company:jane/")
	if w := ts.logOut("POST", "jti/oidc:company:jane/"); w.Code != 400 {
		t.Errorf("a token that was used: %d", w.Code)
	}
}
