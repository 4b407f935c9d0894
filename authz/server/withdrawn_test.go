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

func (l *lab) endWithdrawn() {
	l.t.Helper()
	if err := l.as.Withdrawals.End(context.Background()); err != nil {
		l.t.Fatal(err)
	}
}

// D09: withdrawing ends the grants of exactly what was withdrawn, and giving it
// back revives none.
func TestEndWithdrawn_D09(t *testing.T) {
	for name, test := range map[string]struct {
		who    storage.Identity
		client string
		change func(*labSite)
		ends   bool
	}{
		"nothing": {keyIdentity("team"), "app", func(*labSite) {}, false},
		"key": {keyIdentity("team"), "app", func(c *labSite) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "ci", Hash: storage.HashOf("ci key")})
		}, true},
		"key replaced": {keyIdentity("team"), "app", func(c *labSite) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("another key")})
		}, true},
		"key narrowed": {keyIdentity("team"), "app", func(c *labSite) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{"main"}})
		}, true},
		"key narrowed to what was granted": {keyIdentity("team"), "app", func(c *labSite) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{"notion"}})
		}, false},
		"another key": {keyIdentity("team"), "app", func(c *labSite) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key")})
		}, false},
		"kind":             {alice, "app", func(c *labSite) { c.SignIn = identity.Methods{identity.ByVirtualKey(nil)} }, true},
		"another kind":     {keyIdentity("team"), "app", func(c *labSite) { c.SignIn = identity.Methods{identity.ByVirtualKey(nil)} }, false},
		"client":           {alice, "app", func(c *labSite) { c.Clients = c.Clients[1:] }, true},
		"another client":   {alice, "single", func(c *labSite) { c.Clients = c.Clients[1:] }, false},
		"server of others": {alice, "app", func(c *labSite) { c.Servers = c.Servers[:1] }, false},
		"server":           {alice, "app", func(c *labSite) { c.Servers = c.Servers[1:] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.stopLimits()
			l.endWithdrawn()
			got := l.grantedTo(test.who, test.client)
			before := l.serves()
			l.reload(test.change)
			l.endWithdrawn()
			l.reload(func(c *labSite) { *c = before })
			l.endWithdrawn()
			if l.live(got.Access) == test.ends {
				t.Errorf("the access token is live: %v", !test.ends)
			}
			want, code := http.StatusOK, ""
			if test.ends {
				want, code = http.StatusBadRequest, "invalid_grant"
			}
			l.want(l.refresh(test.client, got.Refresh), want, code)
		})
	}
}

// D09: a request that the configuration of before finishes after its key was
// withdrawn leaves nothing that lives when the key is given back.
func TestEndWithdrawnUnderWay_D09(t *testing.T) {
	for name, narrow := range map[string]func(*labSite){
		"removed": func(c *labSite) { c.Keys = nil },
		"narrowed": func(c *labSite) {
			c.Keys = identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{"main"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.stopLimits()
			l.endWithdrawn()
			before := l.as
			l.advance(time.Minute)
			l.reload(narrow)
			l.endWithdrawn()
			l.start(before)
			late := l.grantedTo(keyIdentity("team"), "app")
			l.advance(time.Minute)
			l.start(New(before.cfg, before.deps))
			own := l.grantedTo(keyIdentity("team"), "app") // before it has come to looking
			l.endWithdrawn()
			if l.live(late.Access) || !l.live(own.Access) {
				t.Errorf("live: late %v, own %v; want false, true", l.live(late.Access), l.live(own.Access))
			}
		})
	}
}

// D09: also what was withdrawn before this was kept in mind.
func TestEndWithdrawnAtFirst_D09(t *testing.T) {
	l := newLab(t)
	l.stopLimits()
	lost, kept := l.grantedTo(keyIdentity("team"), "app"), l.grantedTo(alice, "app")
	l.reload(func(c *labSite) { c.Keys = nil })
	l.endWithdrawn()
	if l.live(lost.Access) || !l.live(kept.Access) {
		t.Errorf("live: withdrawn %v, other %v; want false, true", l.live(lost.Access), l.live(kept.Access))
	}
}

// D09: with a key go the browser sessions and pending flows of its holder.
func TestEndWithdrawnPresence_D09(t *testing.T) {
	l := newLab(t)
	l.endWithdrawn()
	session, cookie := l.as.Sessions.Begin(httptest.NewRequest(http.MethodGet, labIssuer, nil), keyIdentity("team"))
	if err := l.store.CreateBrowserSession(context.Background(), session); err != nil {
		t.Fatal(err)
	}
	flow := l.identified(request(), keyIdentity("team"))
	l.reload(func(c *labSite) { c.Keys = nil })
	l.endWithdrawn()
	if _, err := l.store.BrowserSession(context.Background(), storage.HashOf(cookie.Value), l.time()); err != storage.ErrNotFound {
		t.Errorf("the browser session: %v, want none", err)
	}
	if f, err := l.store.Flow(context.Background(), flow.ID, l.time()); err == nil && !f.Submitted && f.Identity.Subject != "" {
		t.Errorf("the flow is still %s's", f.Identity.Subject)
	}
}

// Where nothing was withdrawn, nothing but the value is read, however many
// grants there are; where the store fails, it is tried again.
func TestEndWithdrawnCosts(t *testing.T) {
	l := newLab(t)
	l.endWithdrawn()
	got := l.grantedTo(keyIdentity("team"), "app")
	writes := l.store.writes.Load()
	l.store.failing("Grants", func() {
		l.endWithdrawn()
		l.reload(func(c *labSite) { c.Scopes = []config.Scope{{Name: "mcp:use", Description: "Use it"}} })
		l.endWithdrawn()
	})
	if n := l.store.writes.Load() - writes; n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	l.reload(func(c *labSite) { c.Keys = nil })
	for _, verb := range []string{"SiteValue", "RevokeGrant", "PutSiteValue"} {
		l.store.failing(verb, func() {
			if err := l.as.Withdrawals.End(context.Background()); err == nil {
				t.Errorf("%s fails, and nobody hears of it", verb)
			}
		})
	}
	l.endWithdrawn()
	if l.live(got.Access) {
		t.Error("the access token is live")
	}
}
