package server

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A public client may leave out its client_id: code and token name it.
func TestPublicClientWithoutID(t *testing.T) {
	ts := newTestServer(t)
	first := ts.redeem("", ts.code())
	ts.want(first, http.StatusOK, "")
	second := ts.refresh("", first.Refresh)
	ts.want(second, http.StatusOK, "")
	ts.want(ts.post(revokePath, "", url.Values{"token": {second.Refresh}}), http.StatusOK, "")
	ts.dead(second)
	third := ts.signedIn()
	ts.want(ts.post(revokePath, "", url.Values{"token": {third.Access}}), http.StatusOK, "")
	if ts.live(third.Access) {
		t.Error("the access token lives")
	}
	ts.want(ts.post(introspectPath, "", url.Values{"token": {ts.signedIn().Access}}), http.StatusUnauthorized, "invalid_client")
}

func TestWithoutIDIsNoWayAroundAuthentication(t *testing.T) {
	ts := newTestServer(t)
	code := ts.code("client_id", "web")
	ts.want(ts.redeem("", code), http.StatusUnauthorized, "invalid_client")
	ts.want(ts.redeem("", code, "client_secret", testSecret), http.StatusUnauthorized, "invalid_client")
	web := ts.redeem("web", code)
	ts.want(web, http.StatusOK, "")
	ts.want(ts.refresh("", web.Refresh), http.StatusUnauthorized, "invalid_client")
	ts.want(ts.post(revokePath, "", url.Values{"token": {web.Refresh}}), http.StatusUnauthorized, "invalid_client")
	ts.want(ts.refresh("web", web.Refresh), http.StatusOK, "")

	// A code cannot name the client for another's token.
	ts.want(ts.refresh("", web.Refresh, "code", ts.code()), http.StatusBadRequest, "invalid_grant")
}

func TestWithoutIDAndUnknown(t *testing.T) {
	ts := newTestServer(t)
	for name, tc := range map[string]struct {
		path   string
		form   url.Values
		status int
		code   string
	}{
		"code":          {TokenPath, redemption(oauth.NewSecret(tokens.CodePrefix)), http.StatusBadRequest, "invalid_grant"},
		"refresh token": {TokenPath, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {oauth.NewSecret(tokens.RefreshPrefix)}}, http.StatusBadRequest, "invalid_grant"},
		"neither":       {TokenPath, url.Values{"grant_type": {"refresh_token"}}, http.StatusUnauthorized, "invalid_client"},
		"token":         {revokePath, url.Values{"token": {oauth.NewSecret(tokens.RefreshPrefix)}}, http.StatusUnauthorized, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) { ts.want(ts.post(tc.path, "", tc.form), tc.status, tc.code) })
	}
	code, refresh := ts.code(), ts.signedIn().Refresh
	ts.store.failing("Code", func() { ts.want(ts.redeem("", code), http.StatusServiceUnavailable, "temporarily_unavailable") })
	ts.store.failing("RefreshToken", func() {
		ts.want(ts.refresh("", refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	ts.reload(func(c *siteConfig) { c.Issuer = "https://other.example" })
	ts.want(ts.redeem("", code), http.StatusBadRequest, "invalid_grant")
}

// A client that registered without saying how it authenticates may use its
// secret or not, but whoever used it once has to go on.
func TestSecretOnceUsedIsNeeded(t *testing.T) {
	for name, tc := range map[string]struct{ atCode, atFirst bool }{
		"never": {}, "at the code": {atCode: true}, "at a refresh": {atFirst: true},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t)
			reg := ts.register(`{"redirect_uris":["` + testRedirect + `"]}`)
			way := func(secret bool) []string {
				if secret {
					return []string{"client_secret", reg.Secret}
				}
				return nil
			}
			first := ts.redeem(reg.ID, ts.code("client_id", reg.ID), way(tc.atCode)...)
			ts.want(first, http.StatusOK, "")
			second := ts.refresh(reg.ID, first.Refresh, way(tc.atCode || tc.atFirst)...)
			ts.want(second, http.StatusOK, "")
			if tc.atCode || tc.atFirst {
				ts.want(ts.refresh(reg.ID, second.Refresh), http.StatusUnauthorized, "invalid_client")
				ts.want(ts.post(revokePath, reg.ID, url.Values{"token": {second.Refresh}}), http.StatusUnauthorized, "invalid_client")
				ts.want(ts.refresh(reg.ID, second.Refresh, "client_secret", "wrong"), http.StatusUnauthorized, "invalid_client")
			}
			third := ts.refresh(reg.ID, second.Refresh, way(tc.atCode || tc.atFirst)...)
			ts.want(third, http.StatusOK, "")
			ts.want(ts.post(introspectPath, reg.ID, url.Values{"token": {third.Access}}), http.StatusUnauthorized, "invalid_client")
			ts.want(ts.post(introspectPath, reg.ID, url.Values{"token": {third.Access}, "client_secret": {reg.Secret}}), http.StatusOK, "")
		})
	}
}

// The one token of a client without refresh tokens is all that its person
// approved.
func TestTokenWithoutRefreshLivesAsLongAsItsGrant(t *testing.T) {
	for name, tc := range map[string]struct{ grant, access, want time.Duration }{
		"default":        {time.Duration(config.DefaultLifetimes.GrantLifetime), time.Duration(config.DefaultLifetimes.AccessTokenLifetime), 24 * time.Hour},
		"shorter grant":  {10 * time.Minute, time.Hour, 10 * time.Minute},
		"shorter access": {24 * time.Hour, 5 * time.Minute, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, func(c *siteConfig) {
				c.GrantLifetime, c.AccessTokenLifetime = config.Duration(tc.grant), config.Duration(tc.access)
			})
			got := ts.redeem("once", ts.code("client_id", "once"))
			ts.want(got, http.StatusOK, "")
			if got.Refresh != "" || got.Expires != int64(tc.want/time.Second) {
				t.Errorf("got %s, want a token for %v", got.body, tc.want)
			}
			ts.clock.Advance(tc.want - time.Second)
			if !ts.live(got.Access) {
				t.Error("it ended early")
			}
			ts.clock.Advance(time.Second)
			if ts.live(got.Access) {
				t.Error("it outlives its grant")
			}
		})
	}
	ts := newTestServer(t)
	if got := ts.signedIn(); got.Expires != int64(time.Duration(config.DefaultLifetimes.AccessTokenLifetime)/time.Second) {
		t.Errorf("with a refresh token: %s", got.body)
	}
}

// Reuse of any earlier token ends the grant, though only the last two have
// records.
func TestReuseOfAnyEarlierToken_D01(t *testing.T) {
	const chain = 8
	for reused := range chain - 1 {
		ts := newTestServer(t)
		issued := []reply{ts.signedIn()}
		for range chain {
			ts.clock.Advance(time.Hour)
			issued = append(issued, ts.refresh("app", issued[len(issued)-1].Refresh))
		}
		_, _, err := ts.store.RefreshToken(t.Context(), storage.HashOf(issued[reused].Refresh), ts.clock.Now())
		if err != storage.ErrNotFound {
			t.Errorf("token %d of %d has a record: %v", reused, chain, err)
		}
		ts.want(ts.refresh("foreign", issued[reused].Refresh), http.StatusBadRequest, "invalid_grant")
		if !ts.live(issued[chain].Access) {
			t.Fatal("another client ended the grant")
		}
		ts.want(ts.refresh("app", issued[reused].Refresh), http.StatusBadRequest, "invalid_grant")
		ts.dead(issued[chain])
		if ts.logged(event.TokenReuseDetected).Len() != 1 {
			t.Errorf("log: %v", ts.logs.All())
		}
	}
}

// An earlier token still stands for its grant where that is revoked.
func TestRevokeByEarlierToken(t *testing.T) {
	ts := newTestServer(t)
	first := ts.signedIn()
	last := first
	for range 4 {
		last = ts.refresh("app", last.Refresh)
	}
	ts.want(ts.post(revokePath, "foreign", url.Values{"token": {first.Refresh}}), http.StatusOK, "")
	if !ts.live(last.Access) {
		t.Fatal("another client revoked the grant")
	}
	ts.want(ts.post(revokePath, "app", url.Values{"token": {first.Refresh}}), http.StatusOK, "")
	ts.dead(last)
}

// Each refresh is a write to the disk. A repeated one is served all the same.
func TestRefreshesAreLimited(t *testing.T) {
	ts := newTestServer(t)
	issued, other := ts.signedIn(), ts.signedIn()
	before := issued
	for range refreshesPerMinute {
		before, issued = issued, ts.refresh("app", issued.Refresh)
		ts.want(issued, http.StatusOK, "")
	}
	writes := ts.store.writes.Load()
	got := ts.refresh("app", issued.Refresh)
	ts.want(got, http.StatusTooManyRequests, "temporarily_unavailable")
	if n := ts.store.writes.Load() - writes; n != 0 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d writes, %v", n, got.header)
	}
	ts.want(ts.refresh("app", before.Refresh), http.StatusOK, "") // the response was lost
	ts.want(ts.refresh("app", other.Refresh), http.StatusOK, "")
	ts.clock.Advance(time.Second)
	ts.want(ts.refresh("app", issued.Refresh), http.StatusOK, "")
}
