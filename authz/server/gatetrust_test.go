package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestStoreDown_E16(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+token); c == nil {
		t.Fatal("refused")
	}
	f.store.err = errors.New("disk gone")
	f.clock.Advance(tokens.TTL)
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+token); c == nil {
		t.Error("not believed for the time it may be")
	}
	f.clock.Advance(time.Nanosecond)
	c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token)
	refused(t, c, w, 503, "")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(w.Body.String(), "disk gone") {
		t.Error("the cause is told")
	}
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer sk-ops"); c == nil {
		t.Error("a virtual key needs no store")
	}
	c, w = call(g, "POST", mcpURL, authHeader, "Bearer garbage")
	refused(t, c, w, 401, invalidMCP)
}

// Who hangs up gets no pass, and is no failure in the log either.
func TestHangUp_E16(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		logged int
	}{
		"hung up":     {context.Canceled, 0},
		"store fails": {storage.ErrClosed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zapcore.WarnLevel)
			f := newGateFixture(t, gateConfig())
			f.as.deps.Events, f.store.err = oauthtest.Events(zap.New(core)), tc.err
			c, w := call(f.gate("mcp"), "POST", mcpURL, authHeader, "Bearer "+f.issue(nil))
			refused(t, c, w, 503, "")
			if logs.Len() != tc.logged {
				t.Errorf("%d lines: %v", logs.Len(), logs.All())
			}
		})
	}
}

func TestRevocationElsewhere_E17(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	if c, _ := call(g, "POST", mcpURL, authHeader, "Bearer "+token); c == nil {
		t.Fatal("refused")
	}
	f.store.drop(storage.HashOf(token)) // by another process: nobody calls Forget
	f.clock.Advance(tokens.TTL + time.Nanosecond)
	c, w := call(g, "POST", mcpURL, authHeader, "Bearer "+token)
	refused(t, c, w, 401, invalidMCP)
}

func TestRecheck_E18(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g, token := f.gate("mcp"), f.issue(nil)
	c, _ := call(g, "GET", mcpURL, authHeader, "Bearer "+token)
	key, _ := call(g, "GET", mcpURL, authHeader, "Bearer sk-ci")
	if !g.Recheck(c) || !g.Recheck(key) {
		t.Fatal("a caller that passes does not pass again")
	}
	if f.clock.Advance(tokens.TTL + 1); !g.Recheck(c) || f.store.reads != 2 {
		t.Fatal("a caller that passes does not pass when the store is asked again")
	}
	t.Run("key withdrawn", func(t *testing.T) {
		cfg := gateConfig()
		cfg.Keys = nil
		if newGateFixture(t, cfg).gate("mcp").Recheck(key) {
			t.Error("passes")
		}
	})
	t.Run("key has another name", func(t *testing.T) {
		cfg := gateConfig()
		cfg.Keys = identity.NewVirtualKeys(identity.Key{Name: "other", Hash: storage.HashOf("sk-ci")})
		if newGateFixture(t, cfg).gate("mcp").Recheck(key) {
			t.Error("passes")
		}
	})
	t.Run("store fails", func(t *testing.T) {
		f.clock.Advance(time.Minute)
		f.store.err = storage.ErrClosed
		if g.Recheck(c) {
			t.Error("passes")
		}
		f.store.err = nil
	})
	t.Run("expired, of a grant that is unknown", func(t *testing.T) {
		f.clock.Advance(time.Hour)
		if g.Recheck(c) {
			t.Error("passes")
		}
	})
	t.Run("revoked", func(t *testing.T) {
		c, _ := call(g, "GET", mcpURL, authHeader, "Bearer "+f.issue(nil))
		f.store.drop(c.TokenHash)
		f.cache.Forget(storage.Revocation{AccessTokens: []storage.Hash{c.TokenHash}})
		if g.Recheck(c) {
			t.Error("passes")
		}
	})
}

// E18: once the token has expired, the grant decides, as it would for a new token.
func TestRecheckAfterTheTokenExpired_E18(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*storage.Grant)
		config func(*config.Site)
		want   bool
	}{
		"the grant stands":       {want: true},
		"revoked":                {change: func(g *storage.Grant) { g.RevokedAt = g.CreatedAt }},
		"expired":                {change: func(g *storage.Grant) { g.ExpiresAt = g.CreatedAt }},
		"another site's":         {change: func(g *storage.Grant) { g.Issuer = "https://other.example" }},
		"for another server":     {change: func(g *storage.Grant) { g.Resources = []string{gateIssuer + "/mcp2"} }},
		"the person was let out": {config: func(c *config.Site) { c.SignIn = identity.Methods{identity.ByVirtualKey(nil)} }},
		"another key of the person": {
			change: func(g *storage.Grant) {
				g.Identity = storage.Identity{Kind: string(identity.VirtualKey), Subject: "virtual_key:ci"}
			},
			config: func(c *config.Site) { c.Keys = identity.NewVirtualKeys() },
		},
		"the key may not use the server": {
			change: func(g *storage.Grant) {
				g.Identity = (&identity.Key{Name: "ops", Hash: storage.HashOf("sk-ops")}).Identity()
			},
			config: func(c *config.Site) {
				c.Keys = identity.NewVirtualKeys(identity.Key{Name: "ops", Hash: storage.HashOf("sk-ops"), Servers: []string{"notion"}})
			},
		},
		"the key may use the server": {change: func(g *storage.Grant) {
			g.Identity = (&identity.Key{Name: "ops", Hash: storage.HashOf("sk-ops")}).Identity()
		}, want: true},
		"the server wants more": {config: func(c *config.Site) { c.Servers[1].Scopes = []string{"mcp:use", "mcp:more"} }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGateFixture(t, gateConfig())
			caller, _ := call(f.gate("mcp"), "GET", mcpURL, authHeader, "Bearer "+f.issue(nil))
			grant := storage.Grant{
				ID: caller.GrantID, Issuer: gateIssuer, ClientID: caller.ClientID, Identity: caller.Identity,
				Resources: []string{gateIssuer + "/mcp"}, CreatedAt: f.clock.Now(), ExpiresAt: f.clock.Now().Add(24 * time.Hour),
			}
			if c.change != nil {
				c.change(&grant)
			}
			cfg := gateConfig()
			if c.config != nil {
				c.config(&cfg)
			}
			now := newGateFixture(t, cfg) // the configuration that serves now
			now.store.grants = map[string]storage.Grant{grant.ID: grant}
			now.clock.Advance(2 * time.Hour)
			g := now.gate("mcp")
			if got := g.Recheck(caller); got != c.want {
				t.Errorf("passes: %t, want %t", got, c.want)
			}
			now.store.err = storage.ErrClosed
			if g.Recheck(caller) {
				t.Error("passes while the store fails")
			}
		})
	}
}

// D09, E18: nor does a stream outlive the grant of a person who did not come back
// to the handler that authenticates them.
func TestRecheckOfPeopleWhoDidNotComeBack_D09_E18(t *testing.T) {
	ts := newTestServer(t, rechecked, func(c *siteConfig) { c.SignIn.Of(bob.Kind).Recheck = 2 * time.Hour })
	caller, gate := ts.caller(ts.grantedTo(bob, "app").Access)
	ts.clock.Advance(90 * time.Minute)
	if !gate.Recheck(caller) {
		t.Error("ends within the recheck time")
	}
	ts.clock.Advance(time.Hour)
	if gate.Recheck(caller) {
		t.Error("goes on after the recheck time")
	}
}

// E18: a token that is revoked just before it expires ends its stream too,
// though nobody looks until it has expired. Others of the grant go on.
func TestRevokedJustBeforeItExpires_E18(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	second := ts.refresh("app", first.Refresh)
	revoked, gate := ts.caller(first.Access)
	other, _ := ts.caller(second.Access)
	ts.clock.Advance(time.Duration(first.Expires)*time.Second - time.Second)
	ts.want(ts.revoke("app", first.Access), 200, "")
	ts.clock.Advance(2 * time.Second)
	if gate.Recheck(revoked) {
		t.Error("the stream of the revoked token goes on")
	}
	if !gate.Recheck(other) {
		t.Error("another stream of the grant ends")
	}
}

// caller returns who calls with the token, and the gate they passed.
func (ts *testServer) caller(token string) (*tokens.Caller, *gate.Gate) {
	ts.t.Helper()
	gate := ts.as.Gate(ts.as.cfg.Servers[0], nil)
	c, w := call(gate, "GET", ts.as.cfg.Servers[0].Resource, authHeader, "Bearer "+token)
	if c == nil {
		ts.t.Fatalf("refused: %d %s", w.Code, w.Body)
	}
	return c, gate
}
