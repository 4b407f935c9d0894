package server

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// dead asserts that nothing of the families works any more.
func (ts *testServer) dead(all ...reply) {
	ts.t.Helper()
	for i, r := range all {
		if ts.live(r.Access) {
			ts.t.Errorf("access token %d works", i)
		}
		ts.want(ts.refresh("app", r.Refresh), http.StatusBadRequest, "invalid_grant")
	}
}

func TestRefreshReplay_D01_D03_D05_AS66(t *testing.T) {
	tests := []struct {
		name  string
		grace time.Duration
		// reuse uses an old token and returns what came of it, with the tokens so far.
		reuse func(*testServer, reply) (reply, []reply)
	}{
		{"after the grace", time.Minute, func(ts *testServer, first reply) (reply, []reply) {
			second := ts.refresh("app", first.Refresh)
			ts.clock.Advance(61 * time.Second)
			return ts.refresh("app", first.Refresh), []reply{first, second}
		}},
		{"two generations back", time.Minute, func(ts *testServer, first reply) (reply, []reply) {
			second := ts.refresh("app", first.Refresh)
			third := ts.refresh("app", second.Refresh)
			return ts.refresh("app", first.Refresh), []reply{first, second, third}
		}},
		{"without grace", 0, func(ts *testServer, first reply) (reply, []reply) {
			second := ts.refresh("app", first.Refresh)
			return ts.refresh("app", first.Refresh), []reply{first, second}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t, func(c *siteConfig) { c.RefreshReuseGrace = new(config.Duration(tt.grace)) })
			got, family := tt.reuse(ts, ts.signedIn())
			ts.want(got, http.StatusBadRequest, "invalid_grant")
			ts.dead(family...)
			if ts.logged(event.TokenReuseDetected).FilterField(zap.String("reason", "refresh_token")).Len() != 1 {
				t.Error("the replay is not logged")
			}
		})
	}
}

// What a replay revokes is gone at once, also for a gate that had just seen the
// access tokens pass.
func TestRefreshReplayIsNotBelievedFromMemory_D01(t *testing.T) {
	ts := newTestServer(t, func(c *siteConfig) { c.RefreshReuseGrace = new(config.Duration(0)) })
	first := ts.signedIn()
	second := ts.refresh("app", first.Refresh)
	g := ts.as.Gate(ts.as.cfg.Servers[0], nil)
	passes := func(r reply) bool {
		call := httptest.NewRequest(http.MethodPost, notionResource, nil)
		call.Header.Set("Authorization", "Bearer "+r.Access)
		return g.Check(httptest.NewRecorder(), call) != nil
	}
	for _, r := range []reply{first, second} {
		if !passes(r) {
			t.Fatal("a token does not pass")
		}
	}
	ts.want(ts.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if passes(first) || passes(second) { // no time has passed
		t.Error("a revoked token still passes")
	}
}

func TestLostResponse_D13_AS74(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	second := ts.refresh("app", first.Refresh)
	ts.clock.Advance(50 * time.Second)
	again := ts.refresh("app", first.Refresh)
	ts.want(again, http.StatusOK, "")
	if again.Access != second.Access || again.Refresh != second.Refresh || again.Scope != second.Scope {
		t.Errorf("second answer = %s, first %s", again.body, second.body)
	}
	if again.Expires != second.Expires-50 {
		t.Errorf("expires_in = %d after %d", again.Expires, second.Expires)
	}
	ts.want(ts.refresh("app", again.Refresh), http.StatusOK, "")
}

func TestCrashAfterCommit_D13(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	ts.store.losing("RotateRefreshToken", func() {
		ts.want(ts.refresh("app", first.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	second := ts.refresh("app", first.Refresh)
	ts.want(second, http.StatusOK, "")
	if again := ts.refresh("app", first.Refresh); again.Refresh != second.Refresh {
		t.Error("two successors")
	}
}

func TestStoreFails_D14(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	ts.store.failing("RotateRefreshToken", func() {
		for range 6 {
			ts.want(ts.refresh("app", first.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
		}
	})
	ts.want(ts.refresh("app", first.Refresh), http.StatusOK, "")
}

func TestConcurrentRefresh_D02(t *testing.T) {
	for name, store := range testStores(t) {
		t.Run(name, func(t *testing.T) {
			ts := newTestServerOn(t, store)
			issued := ts.signedIn()
			for range raceRounds {
				won := ts.race(16, func() reply { return ts.refresh("app", issued.Refresh) })
				if len(won) != 16 {
					t.Fatalf("%d of 16 got tokens", len(won))
				}
				for _, r := range won {
					if r.Refresh != won[0].Refresh || r.Access != won[0].Access {
						t.Fatal("two successors")
					}
				}
				issued = won[0]
			}
		})
	}
}

func TestRefreshOfAnotherClient_D04_D08(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	before := ts.store.writes.Load()
	ts.want(ts.refresh("foreign", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if n := ts.store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
	second := ts.refresh("app", first.Refresh)
	ts.want(second, http.StatusOK, "")
	ts.want(ts.refresh("foreign", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if !ts.live(second.Access) {
		t.Error("a foreign client ended the family")
	}
}

func TestRefreshScopeAndResource_D06_D07_AS67(t *testing.T) {
	const both = "mcp:use notion:admin"
	tests := []struct{ name, granted, parameter, value, code, scope string }{
		{"same scope", both, "scope", both, "", both},
		{"narrower scope", both, "scope", "mcp:use", "", "mcp:use"},
		{"offline_access", both, "scope", "mcp:use offline_access", "", "mcp:use"},
		{"only offline_access", both, "scope", "offline_access", "", both},
		{"unknown scopes besides", both, "scope", "openid mcp:use profile", "", "mcp:use"},
		{"only unknown scopes", both, "scope", "openid profile", "", both},
		{"wider scope", "mcp:use", "scope", both, "", "mcp:use"},
		{"nothing but a wider scope", "mcp:use", "scope", "notion:admin", "invalid_scope", ""},
		{"a wider scope and an unknown one", "mcp:use", "scope", "openid notion:admin", "invalid_scope", ""},
		{"malformed scope", both, "scope", `"`, "invalid_scope", ""},
		{"same resource", both, "resource", notionResource, "", both},
		{"other resource", both, "resource", mainResource, "invalid_target", ""},
		{"unknown resource", both, "resource", "https://other.example", "invalid_target", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			first := ts.redeem("app", ts.code("scope", tt.granted))
			before := ts.store.writes.Load()
			got := ts.refresh("app", first.Refresh, tt.parameter, tt.value)
			if tt.code != "" {
				ts.want(got, http.StatusBadRequest, tt.code)
				if n := ts.store.writes.Load() - before; n != 0 {
					t.Errorf("%d writes", n)
				}
				ts.want(ts.refresh("app", first.Refresh), http.StatusOK, "") // it was not used up
				return
			}
			ts.want(got, http.StatusOK, "")
			if got.Scope != tt.scope {
				t.Errorf("scope = %q, want %q", got.Scope, tt.scope)
			}
			// A narrow token does not narrow the grant.
			if next := ts.refresh("app", got.Refresh); next.Scope != tt.granted {
				t.Errorf("next scope = %q", next.Scope)
			}
		})
	}
}

// What authorize took leniently, refresh takes too: several clients send the
// scope they asked for with every refresh.
func TestRefreshRepeatsRequest_AS67(t *testing.T) {
	for _, asked := range []string{"openid profile", "mcp:use openid", "mcp:use connect:elsewhere offline_access"} {
		ts := newTestServer(t)
		first := ts.redeem("app", ts.code("scope", asked))
		got := ts.refresh("app", first.Refresh, "scope", asked)
		ts.want(got, http.StatusOK, "")
		if got.Scope != "mcp:use" {
			t.Errorf("%q: scope %q", asked, got.Scope)
		}
	}
}

// A token for one of several servers has scopes of that server only; asking for
// none of those is asking for too much.
func TestRefreshScopeOfOneServer_AS67(t *testing.T) {
	ts := newTestServer(t)
	first := ts.redeem("app", ts.approved(request("resource", "-", "scope", "mcp:use notion:admin"), alice).Get("code"), "resource", "-")
	ts.want(ts.refresh("app", first.Refresh, "resource", mainResource, "scope", "notion:admin"), http.StatusBadRequest, "invalid_scope")
	if got := ts.refresh("app", first.Refresh, "resource", mainResource, "scope", "mcp:use notion:admin"); got.Scope != "mcp:use" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A retry that asks for something else than the winner is not a retry. It ends
// nothing either.
func TestGraceIsForTheSameRequest_D04(t *testing.T) {
	ts := newTestServer(t)
	first := ts.redeem("app", ts.approved(request("resource", "-", "scope", "mcp:use notion:admin"), alice).Get("code"), "resource", "-")
	second := ts.refresh("app", first.Refresh, "resource", notionResource, "scope", "mcp:use")
	ts.want(second, http.StatusOK, "")
	ts.want(ts.refresh("app", first.Refresh, "resource", mainResource, "scope", "mcp:use"), http.StatusBadRequest, "invalid_target")
	ts.want(ts.refresh("app", first.Refresh, "resource", notionResource), http.StatusBadRequest, "invalid_scope")
	again := ts.refresh("app", first.Refresh, "resource", notionResource, "scope", "mcp:use")
	if again.Refresh != second.Refresh {
		t.Errorf("the same request: %s", again.body)
	}
}

func TestIdentityWithdrawn_D09_E21(t *testing.T) {
	tests := []struct {
		name   string
		change func(*siteConfig)
		reason string // why the family ends, unless it does not
	}{
		{"key withdrawn", func(c *siteConfig) { c.Keys = nil }, "identity_withdrawn"},
		{"key replaced", func(c *siteConfig) { c.Keys = replacedKey() }, "identity_withdrawn"},
		{"kind not in use", func(c *siteConfig) { c.SignIn = c.SignIn[1:] }, "identity_withdrawn"},
		{"server taken from the key", func(c *siteConfig) { c.Keys = keyOfTeam("main") }, "servers_withdrawn"},
		{"server gone for now", func(c *siteConfig) { c.Servers = c.Servers[1:] }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTestServer(t)
			first := ts.redeem("app", ts.approved(request(), keyIdentity("team")).Get("code"))
			old := ts.serves()
			ts.reload(tt.change)
			ts.want(ts.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
			before := ts.store.writes.Load()
			ts.want(ts.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
			if n := ts.store.writes.Load() - before; n != 0 {
				t.Errorf("%d writes to end it again", n)
			}
			ts.reload(func(c *siteConfig) { *c = old })
			if got := ts.logged(event.GrantEnded).FilterField(zap.String("reason", tt.reason)).Len(); (got == 1) != (tt.reason != "") {
				t.Errorf("%d log lines give the reason %q", got, tt.reason)
			}
			if tt.reason != "" {
				ts.dead(first)
				return
			}
			ts.want(ts.refresh("app", first.Refresh), http.StatusOK, "")
		})
	}
	t.Run("one of two servers taken from the key", func(t *testing.T) {
		ts := newTestServer(t)
		first := ts.redeem("app", ts.approved(request("resource", "-"), keyIdentity("team")).Get("code"), "resource", "-")
		ts.reload(func(c *siteConfig) { c.Keys = keyOfTeam("main") })
		ts.want(ts.refresh("app", first.Refresh, "resource", notionResource), http.StatusBadRequest, "invalid_target")
		second := ts.refresh("app", first.Refresh)
		token, err := ts.store.AccessToken(t.Context(), storage.HashOf(second.Access), ts.clock.Now())
		if err != nil || !slices.Equal(token.Audience, []string{mainResource}) {
			t.Errorf("audience = %q, %v", token.Audience, err)
		}
	})
	t.Run("store down", func(t *testing.T) {
		ts := newTestServer(t)
		first := ts.redeem("app", ts.approved(request(), keyIdentity("team")).Get("code"))
		ts.reload(func(c *siteConfig) { c.Keys = nil })
		ts.store.failing("RevokeGrant", func() {
			ts.want(ts.refresh("app", first.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
		})
	})
}

func TestRefreshLifetime_D10_D11_AS69(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		ts := newTestServer(t)
		in, out := ts.signedIn(), ts.signedIn()
		ts.clock.Advance(29 * 24 * time.Hour)
		ts.want(ts.refresh("app", in.Refresh), http.StatusOK, "")
		ts.clock.Advance(2 * 24 * time.Hour)
		ts.want(ts.refresh("app", out.Refresh), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("absolute", func(t *testing.T) {
		ts := newTestServer(t)
		issued := ts.signedIn()
		for day := 1; day < 90; day++ {
			ts.clock.Advance(24 * time.Hour)
			if issued = ts.refresh("app", issued.Refresh); issued.status != http.StatusOK {
				t.Fatalf("day %d: %s", day, issued.body)
			}
		}
		ts.clock.Advance(23*time.Hour + 59*time.Minute)
		issued = ts.refresh("app", issued.Refresh)
		if issued.Expires != 60 {
			t.Errorf("the last access token lives %d s", issued.Expires)
		}
		ts.clock.Advance(time.Minute)
		ts.want(ts.refresh("app", issued.Refresh), http.StatusBadRequest, "invalid_grant")
	})
}

// What the database holds is of no use to whoever has it, even with the
// server's key: no token, and a replay that only the old token opens.
func TestNoUsableToken_D12_M01(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	second := ts.refresh("app", first.Refresh)
	stored, err := ts.store.Store.RotateRefreshToken(t.Context(), storage.Rotation{
		Hash: storage.HashOf(first.Refresh), Issuer: testIssuer, ClientID: "app", Grace: time.Minute, Now: ts.clock.Now(),
		Issue: storage.Issue{Refresh: &storage.RefreshToken{}},
	})
	if err != nil || stored.Verdict != storage.Repeated || len(stored.Replay) == 0 {
		t.Fatalf("verdict %v, %d bytes, %v", stored.Verdict, len(stored.Replay), err)
	}
	for _, secret := range []string{second.Access, second.Refresh} {
		if bytes.Contains(stored.Replay, []byte(secret[6:])) {
			t.Error("a token is in the clear")
		}
	}
	if _, err := ts.as.deps.Keys.Open(stored.Replay, "refresh", testIssuer, "app"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened with the server's key: %v", err)
	}
}

func TestRefreshAfterRevocation_D15(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	token, _, err := ts.store.RefreshToken(t.Context(), storage.HashOf(first.Refresh), ts.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := ts.as.Grants.Revoke(t.Context(), event.Event{Grant: token.GrantID}); err != nil {
		t.Fatal(err)
	}
	ts.dead(first)
}

func TestRefreshRequest(t *testing.T) {
	ts := newTestServer(t)
	ts.want(ts.refresh("app", ""), http.StatusBadRequest, "invalid_request")
	for _, token := range []string{"x", tokens.RefreshPrefix, oauth.NewSecret(tokens.RefreshPrefix), strings.Repeat("a", 10_000)} {
		ts.want(ts.refresh("app", token), http.StatusBadRequest, "invalid_grant")
	}
}

// Two issuers on one store, with the same clients and even the same resources:
// the issuer alone keeps them apart.
func TestForeignIssuer_F11(t *testing.T) {
	ts := newTestServer(t)
	code, issued := ts.code(), ts.signedIn()
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example" })
	ts.want(ts.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	ts.want(ts.refresh("app", issued.Refresh), http.StatusBadRequest, "invalid_grant")
	for _, token := range []string{issued.Access, issued.Refresh} {
		if got := ts.revoke("app", token); got.status != http.StatusOK {
			t.Errorf("revocation = %d", got.status)
		}
	}
	if got := ts.introspect("inspector", issued.Access); got.body != inactive {
		t.Errorf("introspection = %s", got.body)
	}
	if !ts.live(issued.Access) {
		t.Error("another issuer revoked it")
	}
}
