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
func (l *lab) through(server, token string) (int, string) {
	l.t.Helper()
	for _, s := range l.as.cfg.Servers {
		if s.ID == server {
			r := httptest.NewRequest("POST", s.Resource, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			l.as.Gate(s).Check(w, r)
			return w.Code, w.Header().Get("WWW-Authenticate")
		}
	}
	l.t.Fatalf("no server %s", server)
	return 0, ""
}

// Whatever ends a token at an endpoint ends it at the gate, at once, though the
// gate has just seen it.
func TestGateFollowsEndpoints_B08_D01_E02_E21(t *testing.T) {
	for name, end := range map[string]func(l *lab, code string, first reply){
		"access token revoked":  func(l *lab, _ string, r reply) { l.revoke("app", r.Access) },
		"refresh token revoked": func(l *lab, _ string, r reply) { l.revoke("app", r.Refresh) },
		"code replayed":         func(l *lab, code string, _ reply) { l.redeem("app", code) },
		"refresh token replayed": func(l *lab, _ string, r reply) {
			l.refresh("app", r.Refresh)
			l.advance(time.Duration(*config.DefaultLifetimes.RefreshReuseGrace) + time.Second)
			l.refresh("app", r.Refresh)
		},
		"expired":       func(l *lab, _ string, _ reply) { l.advance(time.Hour) },
		"key withdrawn": func(l *lab, _ string, _ reply) { l.reload(func(c *labSite) { c.Keys = nil }) },
		"key replaced":  func(l *lab, _ string, _ reply) { l.reload(func(c *labSite) { c.Keys = replacedKey() }) },
		"server taken":  func(l *lab, _ string, _ reply) { l.reload(func(c *labSite) { c.Keys = labKeys("main") }) },
		"kind withdrawn": func(l *lab, _ string, _ reply) {
			l.reload(func(c *labSite) { c.SignIn = identity.Methods{identity.ByUserID()} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			code := l.approved(request(), keyIdentity("team")).Get("code")
			first := l.redeem("app", code)
			if status, _ := l.through("notion", first.Access); status != 200 {
				t.Fatalf("the new token gets %d", status)
			}
			end(l, code, first)
			if status, challenge := l.through("notion", first.Access); status != 401 || !strings.Contains(challenge, `error="invalid_token"`) {
				t.Errorf("%d %s", status, challenge)
			}
		})
	}
}

func TestGateAudienceOfIssuedTokens_E03_RS19(t *testing.T) {
	l := newLab(t)
	got := l.signedIn() // for notion
	if status, _ := l.through("main", got.Access); status != 401 {
		t.Errorf("another server: %d", status)
	}
	if status, _ := l.through("notion", got.Refresh); status != 401 {
		t.Errorf("a refresh token: %d", status)
	}
}

// A client that asks for what the challenge says gets through (MCP
// authorization, step-up flow).
func TestStepUp_RS10_RS11(t *testing.T) {
	l := newLab(t)
	got := l.signedIn()
	l.reload(func(c *labSite) {
		servers := append([]*config.Server(nil), c.Servers...)
		servers[0].Scopes = []string{"mcp:use", "notion:admin"}
		servers[0].OptionalScopes = nil
		c.Servers = servers
	})
	status, challenge := l.through("notion", got.Access)
	if status != 403 {
		t.Fatalf("%d %s", status, challenge)
	}
	_, scope, _ := strings.Cut(challenge, `scope="`)
	scope, _, _ = strings.Cut(scope, `"`)
	more := l.redeem("app", l.approved(with(request(), "scope", scope), alice).Get("code"))
	if status, challenge := l.through("notion", more.Access); status != 200 {
		t.Errorf("with scope %q: %d %s", scope, status, challenge)
	}
}
