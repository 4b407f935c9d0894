package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func (ts *testServer) endWithdrawn() {
	ts.t.Helper()
	if err := ts.as.Withdrawals.End(context.Background()); err != nil {
		ts.t.Fatal(err)
	}
}

// D09: withdrawing ends the grants of exactly what was withdrawn, and giving it
// back revives none.
func TestEndWithdrawn_D09(t *testing.T) {
	for name, test := range map[string]struct {
		who    storage.Identity
		client string
		change func(*siteConfig)
		ends   bool
	}{
		"nothing": {keyIdentity("team"), "app", func(*siteConfig) {}, false},
		"key": {keyIdentity("team"), "app", func(c *siteConfig) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "ci", Hash: storage.HashOf("ci key")})
		}, true},
		"key replaced": {keyIdentity("team"), "app", func(c *siteConfig) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("another key")})
		}, true},
		"key narrowed": {keyIdentity("team"), "app", func(c *siteConfig) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{"main"}})
		}, true},
		"key narrowed to what was granted": {keyIdentity("team"), "app", func(c *siteConfig) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{"notion"}})
		}, false},
		"another key": {keyIdentity("team"), "app", func(c *siteConfig) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key")})
		}, false},
		"kind":             {alice, "app", func(c *siteConfig) { c.SignIn = identity.Methods{identity.ByVirtualKey(nil)} }, true},
		"another kind":     {keyIdentity("team"), "app", func(c *siteConfig) { c.SignIn = identity.Methods{identity.ByVirtualKey(nil)} }, false},
		"client":           {alice, "app", func(c *siteConfig) { c.Clients = c.Clients[1:] }, true},
		"another client":   {alice, "single", func(c *siteConfig) { c.Clients = c.Clients[1:] }, false},
		"server of others": {alice, "app", func(c *siteConfig) { c.Servers = c.Servers[:1] }, false},
		"server":           {alice, "app", func(c *siteConfig) { c.Servers = c.Servers[1:] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			ts.stopLimits()
			ts.endWithdrawn()
			got := ts.grantedTo(test.who, test.client)
			before := ts.serves()
			ts.reload(test.change)
			ts.endWithdrawn()
			ts.reload(func(c *siteConfig) { *c = before })
			ts.endWithdrawn()
			if ts.live(got.Access) == test.ends {
				t.Errorf("the access token is live: %v", !test.ends)
			}
			want, code := http.StatusOK, ""
			if test.ends {
				want, code = http.StatusBadRequest, "invalid_grant"
			}
			ts.want(ts.refresh(test.client, got.Refresh), want, code)
		})
	}
}

// D09: a request that the configuration of before finishes after its key was
// withdrawn leaves nothing that lives when the key is given back.
func TestEndWithdrawnUnderWay_D09(t *testing.T) {
	for name, narrow := range map[string]func(*siteConfig){
		"removed": func(c *siteConfig) { c.Keys = nil },
		"narrowed": func(c *siteConfig) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{"main"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			ts.stopLimits()
			ts.endWithdrawn()
			before := ts.as
			ts.clock.Advance(time.Minute)
			ts.reload(narrow)
			ts.endWithdrawn()
			ts.start(before)
			late := ts.grantedTo(keyIdentity("team"), "app")
			ts.clock.Advance(time.Minute)
			ts.start(New(before.cfg, before.deps))
			own := ts.grantedTo(keyIdentity("team"), "app") // before it has come to looking
			ts.endWithdrawn()
			if ts.live(late.Access) || !ts.live(own.Access) {
				t.Errorf("live: late %v, own %v; want false, true", ts.live(late.Access), ts.live(own.Access))
			}
		})
	}
}

// D09: also what was withdrawn before this was kept in mind.
func TestEndWithdrawnAtFirst_D09(t *testing.T) {
	ts := newTestServer(t)
	ts.stopLimits()
	lost, kept := ts.grantedTo(keyIdentity("team"), "app"), ts.grantedTo(alice, "app")
	ts.reload(func(c *siteConfig) { c.Keys = nil })
	ts.endWithdrawn()
	if ts.live(lost.Access) || !ts.live(kept.Access) {
		t.Errorf("live: withdrawn %v, other %v; want false, true", ts.live(lost.Access), ts.live(kept.Access))
	}
}

// D09: with a key go the browser sessions and pending flows of its holder.
func TestEndWithdrawnPresence_D09(t *testing.T) {
	ts := newTestServer(t)
	ts.endWithdrawn()
	session, cookie := ts.as.Sessions.Begin(httptest.NewRequest(http.MethodGet, testIssuer, nil), keyIdentity("team"))
	if err := ts.store.CreateBrowserSession(context.Background(), session); err != nil {
		t.Fatal(err)
	}
	flow := ts.identified(request(), keyIdentity("team"))
	ts.reload(func(c *siteConfig) { c.Keys = nil })
	ts.endWithdrawn()
	if _, err := ts.store.BrowserSession(context.Background(), storage.HashOf(cookie.Value), ts.clock.Now()); err != storage.ErrNotFound {
		t.Errorf("the browser session: %v, want none", err)
	}
	if f, err := ts.store.Flow(context.Background(), flow.ID, ts.clock.Now()); err == nil && !f.Submitted && f.Identity.Subject != "" {
		t.Errorf("the flow is still %s's", f.Identity.Subject)
	}
}

// Where nothing was withdrawn, nothing but the value is read, however many
// grants there are; where the store fails, it is tried again.
func TestEndWithdrawnCosts(t *testing.T) {
	ts := newTestServer(t)
	ts.endWithdrawn()
	got := ts.grantedTo(keyIdentity("team"), "app")
	writes := ts.store.writes.Load()
	ts.store.failing("Grants", func() {
		ts.endWithdrawn()
		ts.reload(func(c *siteConfig) { c.Scopes = []config.Scope{{Name: "mcp:use", Description: "Use it"}} })
		ts.endWithdrawn()
	})
	if n := ts.store.writes.Load() - writes; n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	ts.reload(func(c *siteConfig) { c.Keys = nil })
	for _, verb := range []string{"SiteValue", "RevokeGrant", "PutSiteValue"} {
		ts.store.failing(verb, func() {
			if err := ts.as.Withdrawals.End(context.Background()); err == nil {
				t.Errorf("%s fails, and nobody hears of it", verb)
			}
		})
	}
	ts.endWithdrawn()
	if ts.live(got.Access) {
		t.Error("the access token is live")
	}
}
