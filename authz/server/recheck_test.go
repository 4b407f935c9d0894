package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// bob is a person whom another handler authenticated.
var bob = storage.Identity{Kind: string(identity.Caddy), Subject: "caddy:bob", Name: "bob"}

func rechecked(c *labSite) {
	c.SignIn = append(c.SignIn, identity.ByCaddy(24*time.Hour))
}

// grantedTo signs a person in for a client, as people do.
func (l *lab) grantedTo(who storage.Identity, client string) reply {
	l.t.Helper()
	code := l.approved(request("client_id", client), who, labNotion).Get("code")
	got := l.redeem(client, code)
	if got.status != http.StatusOK {
		l.t.Fatalf("sign-in: %d %s", got.status, got.body)
	}
	return got
}

// D09: what a person approved whom another handler authenticated is good for
// as long as that person keeps coming through that handler.
func TestRecheck_D09(t *testing.T) {
	l := newLab(t, rechecked)
	l.stopLimits()
	got := l.grantedTo(bob, "app")
	for range 46 { // until an hour before
		l.advance(30 * time.Minute)
		got = l.refresh("app", got.Refresh)
		l.want(got, http.StatusOK, "")
	}
	l.advance(30 * time.Minute)
	got = l.refresh("app", got.Refresh)
	l.want(got, http.StatusOK, "")
	if got.Expires != 1800 {
		t.Errorf("half an hour before the end an access token lives %d s, want 1800", got.Expires)
	}
	l.advance(30 * time.Minute)
	if l.live(got.Access) {
		t.Error("an access token outlives the recheck")
	}
	l.want(l.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
	if n := l.logs.FilterMessageSnippet("within the recheck time").Len(); n != 1 {
		t.Errorf("%d lines say why, want 1", n)
	}
	// Coming back later does not revive it.
	if err := l.as.Grants.ProvedAgain(context.Background(), bob); err != nil {
		t.Fatal(err)
	}
	l.want(l.refresh("app", got.Refresh), http.StatusBadRequest, "invalid_grant")
}

// D09: who comes through that handler again keeps what they approved, and
// nobody else does.
func TestProvedAgain_D09(t *testing.T) {
	l := newLab(t, rechecked)
	l.stopLimits()
	carol := storage.Identity{Kind: bob.Kind, Subject: "caddy:carol", Name: "carol"}
	kept, lost := l.grantedTo(bob, "app"), l.grantedTo(carol, "app")
	keyed := l.grantedTo(keyIdentity("team"), "app")
	l.advance(23 * time.Hour)
	if err := l.as.Grants.ProvedAgain(context.Background(), bob); err != nil {
		t.Fatal(err)
	}
	writes := l.store.writes.Load()
	if err := l.as.Grants.ProvedAgain(context.Background(), bob); err != nil {
		t.Fatal(err)
	}
	if n := l.store.writes.Load() - writes; n != 0 {
		t.Errorf("another visit writes %d times, want none", n)
	}
	l.advance(23 * time.Hour)
	l.want(l.refresh("app", kept.Refresh), http.StatusOK, "")
	l.want(l.refresh("app", lost.Refresh), http.StatusBadRequest, "invalid_grant")
	l.want(l.refresh("app", keyed.Refresh), http.StatusOK, "")
}

// D09: a client without refresh tokens gets no more either.
func TestRecheckWithoutRefresh_D09(t *testing.T) {
	l := newLab(t, rechecked, func(c *labSite) {
		c.SignIn.Of(bob.Kind).Recheck, c.GrantLifetime = time.Hour, config.Duration(24*time.Hour)
	})
	if got := l.grantedTo(bob, "once"); got.Expires != 3600 {
		t.Errorf("the access token lives %d s, want 3600", got.Expires)
	}
}

// E02: if the store cannot tell, nothing is issued and nothing is lost.
func TestRecheckStoreFails_E02(t *testing.T) {
	l := newLab(t, rechecked)
	got := l.grantedTo(bob, "app")
	l.store.failing("SiteValue", func() {
		l.want(l.refresh("app", got.Refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	l.want(l.refresh("app", got.Refresh), http.StatusOK, "")
}
