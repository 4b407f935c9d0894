package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// bob is a person whom another handler authenticated.
var bob = storage.Identity{Kind: string(identity.Caddy), Subject: "caddy:bob", Name: "bob"}

func rechecked(c *siteConfig) {
	c.SignIn = append(c.SignIn, identity.ByCaddy(24*time.Hour))
}

// grantedTo signs a person in for a client, as people do.
func (ts *testServer) grantedTo(who storage.Identity, client string) reply {
	ts.t.Helper()
	code := ts.approved(request("client_id", client), who, notionResource).Get("code")
	got := ts.redeem(client, code)
	if got.status != http.StatusOK {
		ts.t.Fatalf("sign-in: %d %s", got.status, got.body)
	}
	return got
}

// D09: what a person approved whom another handler authenticated is good for
// as long as that person keeps coming through that handler.
func TestRecheck_D09(t *testing.T) {
	ts := newTestServer(t, rechecked)
	ts.stopLimits()
	got := ts.grantedTo(bob, "app")
	for range 46 { // until an hour before
		ts.clock.Advance(30 * time.Minute)
		got = ts.refresh("app", got.Refresh)
		ts.want(got, http.StatusOK, "")
	}
	ts.clock.Advance(30 * time.Minute)
	got = ts.refresh("app", got.Refresh)
	ts.want(got, http.StatusOK, "")
	if got.Expires != 1800 {
		t.Errorf("half an hour before the end an access token lives %d s, want 1800", got.Expires)
	}
	ts.clock.Advance(30 * time.Minute)
	if ts.live(got.Access) {
		t.Error("an access token outlives the recheck")
	}
	ts.want(ts.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
	if n := ts.logged(event.GrantEnded).FilterField(zap.String("reason", "sign_in_too_old")).Len(); n != 1 {
		t.Errorf("%d lines say why, want 1", n)
	}
	// Coming back later does not revive it.
	if err := ts.as.Persons.ProvedAgain(context.Background(), bob); err != nil {
		t.Fatal(err)
	}
	ts.want(ts.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
}

// D09: who comes through that handler again keeps what they approved, and
// nobody else does.
func TestProvedAgain_D09(t *testing.T) {
	ts := newTestServer(t, rechecked)
	ts.stopLimits()
	carol := storage.Identity{Kind: bob.Kind, Subject: "caddy:carol", Name: "carol"}
	kept, lost := ts.grantedTo(bob, "app"), ts.grantedTo(carol, "app")
	keyed := ts.grantedTo(keyIdentity("team"), "app")
	ts.clock.Advance(23 * time.Hour)
	if err := ts.as.Persons.ProvedAgain(context.Background(), bob); err != nil {
		t.Fatal(err)
	}
	writes := ts.store.writes.Load()
	if err := ts.as.Persons.ProvedAgain(context.Background(), bob); err != nil {
		t.Fatal(err)
	}
	if n := ts.store.writes.Load() - writes; n != 0 {
		t.Errorf("another visit writes %d times, want none", n)
	}
	ts.clock.Advance(23 * time.Hour)
	ts.want(ts.refresh("app", kept.Refresh), http.StatusOK, "")
	ts.want(ts.refresh("app", lost.Refresh), http.StatusBadRequest, "invalid_grant")
	ts.want(ts.refresh("app", keyed.Refresh), http.StatusOK, "")
}

// D09: a client without refresh tokens gets no more either.
func TestRecheckWithoutRefresh_D09(t *testing.T) {
	ts := newTestServer(t, rechecked, func(c *siteConfig) {
		c.SignIn.Of(bob.Kind).Recheck, c.GrantLifetime = time.Hour, config.Duration(24*time.Hour)
	})
	if got := ts.grantedTo(bob, "once"); got.Expires != 3600 {
		t.Errorf("the access token lives %d s, want 3600", got.Expires)
	}
}

// E02: if the store cannot tell, nothing is issued and nothing is lost.
func TestRecheckStoreFails_E02(t *testing.T) {
	ts := newTestServer(t, rechecked)
	got := ts.grantedTo(bob, "app")
	ts.store.failing("Person", func() {
		ts.want(ts.refresh("app", got.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	ts.want(ts.refresh("app", got.Refresh), http.StatusOK, "")
}
