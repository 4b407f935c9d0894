package server

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// through calls a server with a token and returns the status, 200 for a call
// that passes, and the challenge.
func (ts *testServer) through(server, token string) (int, string) {
	ts.t.Helper()
	for _, s := range ts.as.cfg.Servers {
		if s.ID == server {
			r := httptest.NewRequest("POST", s.Resource, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			ts.as.Gate(s, nil).Check(w, r)
			return w.Code, w.Header().Get("WWW-Authenticate")
		}
	}
	ts.t.Fatalf("no server %s", server)
	return 0, ""
}

// Whatever ends a token at an endpoint ends it at the gate, at once, though the
// gate has just seen it.
func TestGateFollowsEndpoints_B08_D01_E02_E21(t *testing.T) {
	for name, end := range map[string]func(ts *testServer, code string, first reply){
		"access token revoked":  func(ts *testServer, _ string, r reply) { ts.revoke("app", r.Access) },
		"refresh token revoked": func(ts *testServer, _ string, r reply) { ts.revoke("app", r.Refresh) },
		"code replayed":         func(ts *testServer, code string, _ reply) { ts.redeem("app", code) },
		"refresh token replayed": func(ts *testServer, _ string, r reply) {
			ts.refresh("app", r.Refresh)
			ts.clock.Advance(time.Duration(*config.DefaultLifetimes.RefreshReuseGrace) + time.Second)
			ts.refresh("app", r.Refresh)
		},
		"expired":       func(ts *testServer, _ string, _ reply) { ts.clock.Advance(time.Hour) },
		"key withdrawn": func(ts *testServer, _ string, _ reply) { ts.reload(func(c *siteConfig) { c.Keys = nil }) },
		"key replaced":  func(ts *testServer, _ string, _ reply) { ts.reload(func(c *siteConfig) { c.Keys = replacedKey() }) },
		"server taken":  func(ts *testServer, _ string, _ reply) { ts.reload(func(c *siteConfig) { c.Keys = keyOfTeam("main") }) },
		"kind withdrawn": func(ts *testServer, _ string, _ reply) {
			ts.reload(func(c *siteConfig) { c.SignIn = identity.Methods{identity.ByUserID()} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			code := ts.approved(request(), keyIdentity("team")).Get("code")
			first := ts.redeem("app", code)
			if status, _ := ts.through("notion", first.Access); status != 200 {
				t.Fatalf("the new token gets %d", status)
			}
			end(ts, code, first)
			if status, challenge := ts.through("notion", first.Access); status != 401 || !strings.Contains(challenge, `error="invalid_token"`) {
				t.Errorf("%d %s", status, challenge)
			}
		})
	}
}

func TestGateAudienceOfIssuedTokens_E03_RS19(t *testing.T) {
	ts := newTestServer(t)
	got := ts.signedIn() // for notion
	if status, _ := ts.through("main", got.Access); status != 401 {
		t.Errorf("another server: %d", status)
	}
	if status, _ := ts.through("notion", got.Refresh); status != 401 {
		t.Errorf("a refresh token: %d", status)
	}
}

// A client that asks for what the challenge says gets through (MCP
// authorization, step-up flow).
func TestStepUp_RS10_RS11(t *testing.T) {
	ts := newTestServer(t)
	got := ts.signedIn()
	ts.reload(func(c *siteConfig) {
		servers := append([]*config.Server(nil), c.Servers...)
		servers[0].Scopes = []string{"mcp:use", "notion:admin"}
		servers[0].OptionalScopes = nil
		c.Servers = servers
	})
	status, challenge := ts.through("notion", got.Access)
	if status != 403 {
		t.Fatalf("%d %s", status, challenge)
	}
	_, scope, _ := strings.Cut(challenge, `scope="`)
	scope, _, _ = strings.Cut(scope, `"`)
	more := ts.redeem("app", ts.approved(with(request(), "scope", scope), alice).Get("code"))
	if status, challenge := ts.through("notion", more.Access); status != 200 {
		t.Errorf("with scope %q: %d %s", scope, status, challenge)
	}
}
