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

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// dead asserts that nothing of the families works any more.
func (l *lab) dead(all ...reply) {
	l.t.Helper()
	for i, r := range all {
		if l.live(r.Access) {
			l.t.Errorf("access token %d works", i)
		}
		l.want(l.refresh("app", r.Refresh), http.StatusBadRequest, "invalid_grant")
	}
}

func TestRefreshReplay_D01_D03_D05_AS66(t *testing.T) {
	tests := []struct {
		name  string
		grace time.Duration
		// reuse uses an old token and returns what came of it, with the tokens so far.
		reuse func(*lab, reply) (reply, []reply)
	}{
		{"after the grace", time.Minute, func(l *lab, first reply) (reply, []reply) {
			second := l.refresh("app", first.Refresh)
			l.advance(61 * time.Second)
			return l.refresh("app", first.Refresh), []reply{first, second}
		}},
		{"two generations back", time.Minute, func(l *lab, first reply) (reply, []reply) {
			second := l.refresh("app", first.Refresh)
			third := l.refresh("app", second.Refresh)
			return l.refresh("app", first.Refresh), []reply{first, second, third}
		}},
		{"without grace", 0, func(l *lab, first reply) (reply, []reply) {
			second := l.refresh("app", first.Refresh)
			return l.refresh("app", first.Refresh), []reply{first, second}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, func(c *labSite) { c.RefreshReuseGrace = new(config.Duration(tt.grace)) })
			got, family := tt.reuse(l, l.signedIn())
			l.want(got, http.StatusBadRequest, "invalid_grant")
			l.dead(family...)
			if l.logs.FilterMessageSnippet("refresh token reuse detected; grant revoked").Len() != 1 {
				t.Error("the replay is not logged")
			}
		})
	}
}

// What a replay revokes is gone at once, also for a gate that had just seen the
// access tokens pass.
func TestRefreshReplayIsNotBelievedFromMemory_D01(t *testing.T) {
	l := newLab(t, func(c *labSite) { c.RefreshReuseGrace = new(config.Duration(0)) })
	first := l.signedIn()
	second := l.refresh("app", first.Refresh)
	g := l.as.Gate(l.as.cfg.Servers[0])
	passes := func(r reply) bool {
		call := httptest.NewRequest(http.MethodPost, labNotion, nil)
		call.Header.Set("Authorization", "Bearer "+r.Access)
		return g.Check(httptest.NewRecorder(), call) != nil
	}
	for _, r := range []reply{first, second} {
		if !passes(r) {
			t.Fatal("a token does not pass")
		}
	}
	l.want(l.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if passes(first) || passes(second) { // no time has passed
		t.Error("a revoked token still passes")
	}
}

func TestLostResponse_D13_AS74(t *testing.T) {
	l := newLab(t)
	first := l.signedIn()
	second := l.refresh("app", first.Refresh)
	l.advance(50 * time.Second)
	again := l.refresh("app", first.Refresh)
	l.want(again, http.StatusOK, "")
	if again.Access != second.Access || again.Refresh != second.Refresh || again.Scope != second.Scope {
		t.Errorf("second answer = %s, first %s", again.body, second.body)
	}
	if again.Expires != second.Expires-50 {
		t.Errorf("expires_in = %d after %d", again.Expires, second.Expires)
	}
	l.want(l.refresh("app", again.Refresh), http.StatusOK, "")
}

func TestCrashAfterCommit_D13(t *testing.T) {
	l := newLab(t)
	first := l.signedIn()
	l.store.losing("RotateRefreshToken", func() {
		l.want(l.refresh("app", first.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	second := l.refresh("app", first.Refresh)
	l.want(second, http.StatusOK, "")
	if again := l.refresh("app", first.Refresh); again.Refresh != second.Refresh {
		t.Error("two successors")
	}
}

func TestStoreFails_D14(t *testing.T) {
	l := newLab(t)
	first := l.signedIn()
	l.store.failing("RotateRefreshToken", func() {
		for range 6 {
			l.want(l.refresh("app", first.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
		}
	})
	l.want(l.refresh("app", first.Refresh), http.StatusOK, "")
}

func TestConcurrentRefresh_D02(t *testing.T) {
	for name, store := range labStores(t) {
		t.Run(name, func(t *testing.T) {
			l := newLabOn(t, store)
			issued := l.signedIn()
			for range labRounds {
				won := l.race(16, func() reply { return l.refresh("app", issued.Refresh) })
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
	l := newLab(t)
	first := l.signedIn()
	before := l.store.writes.Load()
	l.want(l.refresh("foreign", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if n := l.store.writes.Load() - before; n != 0 {
		t.Errorf("%d writes", n)
	}
	second := l.refresh("app", first.Refresh)
	l.want(second, http.StatusOK, "")
	l.want(l.refresh("foreign", first.Refresh), http.StatusBadRequest, "invalid_grant")
	if !l.live(second.Access) {
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
		{"same resource", both, "resource", labNotion, "", both},
		{"other resource", both, "resource", labMain, "invalid_target", ""},
		{"unknown resource", both, "resource", "https://other.example", "invalid_target", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			first := l.redeem("app", l.code("scope", tt.granted))
			before := l.store.writes.Load()
			got := l.refresh("app", first.Refresh, tt.parameter, tt.value)
			if tt.code != "" {
				l.want(got, http.StatusBadRequest, tt.code)
				if n := l.store.writes.Load() - before; n != 0 {
					t.Errorf("%d writes", n)
				}
				l.want(l.refresh("app", first.Refresh), http.StatusOK, "") // it was not used up
				return
			}
			l.want(got, http.StatusOK, "")
			if got.Scope != tt.scope {
				t.Errorf("scope = %q, want %q", got.Scope, tt.scope)
			}
			// A narrow token does not narrow the grant.
			if next := l.refresh("app", got.Refresh); next.Scope != tt.granted {
				t.Errorf("next scope = %q", next.Scope)
			}
		})
	}
}

// What authorize took leniently, refresh takes too: several clients send the
// scope they asked for with every refresh.
func TestRefreshRepeatsRequest_AS67(t *testing.T) {
	for _, asked := range []string{"openid profile", "mcp:use openid", "mcp:use connect:elsewhere offline_access"} {
		l := newLab(t)
		first := l.redeem("app", l.code("scope", asked))
		got := l.refresh("app", first.Refresh, "scope", asked)
		l.want(got, http.StatusOK, "")
		if got.Scope != "mcp:use" {
			t.Errorf("%q: scope %q", asked, got.Scope)
		}
	}
}

// A token for one of several servers has scopes of that server only; asking for
// none of those is asking for too much.
func TestRefreshScopeOfOneServer_AS67(t *testing.T) {
	l := newLab(t)
	first := l.redeem("app", l.approved(request("resource", "-", "scope", "mcp:use notion:admin"), alice).Get("code"), "resource", "-")
	l.want(l.refresh("app", first.Refresh, "resource", labMain, "scope", "notion:admin"), http.StatusBadRequest, "invalid_scope")
	if got := l.refresh("app", first.Refresh, "resource", labMain, "scope", "mcp:use notion:admin"); got.Scope != "mcp:use" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A retry that asks for something else than the winner is not a retry. It ends
// nothing either.
func TestGraceIsForTheSameRequest_D04(t *testing.T) {
	l := newLab(t)
	first := l.redeem("app", l.approved(request("resource", "-", "scope", "mcp:use notion:admin"), alice).Get("code"), "resource", "-")
	second := l.refresh("app", first.Refresh, "resource", labNotion, "scope", "mcp:use")
	l.want(second, http.StatusOK, "")
	l.want(l.refresh("app", first.Refresh, "resource", labMain, "scope", "mcp:use"), http.StatusBadRequest, "invalid_target")
	l.want(l.refresh("app", first.Refresh, "resource", labNotion), http.StatusBadRequest, "invalid_scope")
	again := l.refresh("app", first.Refresh, "resource", labNotion, "scope", "mcp:use")
	if again.Refresh != second.Refresh {
		t.Errorf("the same request: %s", again.body)
	}
}

func TestIdentityWithdrawn_D09_E21(t *testing.T) {
	tests := []struct {
		name   string
		change func(*labSite)
		reason string // why the family ends, unless it does not
	}{
		{"key withdrawn", func(c *labSite) { c.Keys = nil }, "its identity was withdrawn"},
		{"key replaced", func(c *labSite) { c.Keys = replacedKey() }, "its identity was withdrawn"},
		{"kind not in use", func(c *labSite) { c.SignIn = c.SignIn[1:] }, "its identity was withdrawn"},
		{"server taken from the key", func(c *labSite) { c.Keys = labKeys("main") }, "its identity may use none of its servers any more"},
		{"server gone for now", func(c *labSite) { c.Servers = c.Servers[1:] }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			first := l.redeem("app", l.approved(request(), keyIdentity("team")).Get("code"))
			old := l.serves()
			l.reload(tt.change)
			l.want(l.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
			before := l.store.writes.Load()
			l.want(l.refresh("app", first.Refresh), http.StatusBadRequest, "invalid_grant")
			if n := l.store.writes.Load() - before; n != 0 {
				t.Errorf("%d writes to end it again", n)
			}
			l.reload(func(c *labSite) { *c = old })
			if got := l.logs.FilterMessage("grant revoked").FilterField(zap.String("reason", tt.reason)).Len(); (got == 1) != (tt.reason != "") {
				t.Errorf("%d log lines give the reason %q", got, tt.reason)
			}
			if tt.reason != "" {
				l.dead(first)
				return
			}
			l.want(l.refresh("app", first.Refresh), http.StatusOK, "")
		})
	}
	t.Run("one of two servers taken from the key", func(t *testing.T) {
		l := newLab(t)
		first := l.redeem("app", l.approved(request("resource", "-"), keyIdentity("team")).Get("code"), "resource", "-")
		l.reload(func(c *labSite) { c.Keys = labKeys("main") })
		l.want(l.refresh("app", first.Refresh, "resource", labNotion), http.StatusBadRequest, "invalid_target")
		second := l.refresh("app", first.Refresh)
		token, err := l.store.AccessToken(t.Context(), storage.HashOf(second.Access), l.time())
		if err != nil || !slices.Equal(token.Audience, []string{labMain}) {
			t.Errorf("audience = %q, %v", token.Audience, err)
		}
	})
	t.Run("store down", func(t *testing.T) {
		l := newLab(t)
		first := l.redeem("app", l.approved(request(), keyIdentity("team")).Get("code"))
		l.reload(func(c *labSite) { c.Keys = nil })
		l.store.failing("RevokeGrant", func() {
			l.want(l.refresh("app", first.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
		})
	})
}

func TestRefreshLifetime_D10_D11_AS69(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		l := newLab(t)
		in, out := l.signedIn(), l.signedIn()
		l.advance(29 * 24 * time.Hour)
		l.want(l.refresh("app", in.Refresh), http.StatusOK, "")
		l.advance(2 * 24 * time.Hour)
		l.want(l.refresh("app", out.Refresh), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("absolute", func(t *testing.T) {
		l := newLab(t)
		issued := l.signedIn()
		for day := 1; day < 90; day++ {
			l.advance(24 * time.Hour)
			if issued = l.refresh("app", issued.Refresh); issued.status != http.StatusOK {
				t.Fatalf("day %d: %s", day, issued.body)
			}
		}
		l.advance(23*time.Hour + 59*time.Minute)
		issued = l.refresh("app", issued.Refresh)
		if issued.Expires != 60 {
			t.Errorf("the last access token lives %d s", issued.Expires)
		}
		l.advance(time.Minute)
		l.want(l.refresh("app", issued.Refresh), http.StatusBadRequest, "invalid_grant")
	})
}

// What the database holds is of no use to whoever has it, even with the
// server's key: no token, and a replay that only the old token opens.
func TestNoUsableToken_D12_M01(t *testing.T) {
	l := newLab(t)
	first := l.signedIn()
	second := l.refresh("app", first.Refresh)
	stored, err := l.store.Store.RotateRefreshToken(t.Context(), storage.Rotation{
		Hash: storage.HashOf(first.Refresh), Issuer: labIssuer, ClientID: "app", Grace: time.Minute, Now: l.time(),
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
	if _, err := l.as.deps.Keys.Open(stored.Replay, "refresh", labIssuer, "app"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened with the server's key: %v", err)
	}
}

func TestRefreshAfterRevocation_D15(t *testing.T) {
	l := newLab(t)
	first := l.signedIn()
	token, _, err := l.store.RefreshToken(t.Context(), storage.HashOf(first.Refresh), l.time())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.as.Grants.Revoke(t.Context(), token.GrantID); err != nil {
		t.Fatal(err)
	}
	l.dead(first)
}

func TestRefreshRequest(t *testing.T) {
	l := newLab(t)
	l.want(l.refresh("app", ""), http.StatusBadRequest, "invalid_request")
	for _, token := range []string{"x", tokens.RefreshPrefix, oauth.NewSecret(tokens.RefreshPrefix), strings.Repeat("a", 10_000)} {
		l.want(l.refresh("app", token), http.StatusBadRequest, "invalid_grant")
	}
}

// Two issuers on one store, with the same clients and even the same resources:
// the issuer alone keeps them apart.
func TestForeignIssuer_F11(t *testing.T) {
	l := newLab(t)
	code, issued := l.code(), l.signedIn()
	l.reload(func(c *labSite) { c.Issuer = "https://other.example" })
	l.want(l.redeem("app", code), http.StatusBadRequest, "invalid_grant")
	l.want(l.refresh("app", issued.Refresh), http.StatusBadRequest, "invalid_grant")
	for _, token := range []string{issued.Access, issued.Refresh} {
		if got := l.revoke("app", token); got.status != http.StatusOK {
			t.Errorf("revocation = %d", got.status)
		}
	}
	if got := l.introspect("inspector", issued.Access); got.body != inactive {
		t.Errorf("introspection = %s", got.body)
	}
	if !l.live(issued.Access) {
		t.Error("another issuer revoked it")
	}
}
