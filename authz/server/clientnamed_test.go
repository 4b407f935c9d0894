package server

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A public client may leave out its client_id: code and token name it.
func TestPublicClientWithoutID(t *testing.T) {
	l := newLab(t)
	first := l.redeem("", l.code())
	l.want(first, http.StatusOK, "")
	second := l.refresh("", first.Refresh)
	l.want(second, http.StatusOK, "")
	l.want(l.post(RevokePath, "", url.Values{"token": {second.Refresh}}), http.StatusOK, "")
	l.dead(second)
	third := l.signedIn()
	l.want(l.post(RevokePath, "", url.Values{"token": {third.Access}}), http.StatusOK, "")
	if l.live(third.Access) {
		t.Error("the access token lives")
	}
	l.want(l.post(IntrospectPath, "", url.Values{"token": {l.signedIn().Access}}), http.StatusUnauthorized, "invalid_client")
}

func TestWithoutIDIsNoWayAroundAuthentication(t *testing.T) {
	l := newLab(t)
	code := l.code("client_id", "web")
	l.want(l.redeem("", code), http.StatusUnauthorized, "invalid_client")
	l.want(l.redeem("", code, "client_secret", labSecret), http.StatusUnauthorized, "invalid_client")
	web := l.redeem("web", code)
	l.want(web, http.StatusOK, "")
	l.want(l.refresh("", web.Refresh), http.StatusUnauthorized, "invalid_client")
	l.want(l.post(RevokePath, "", url.Values{"token": {web.Refresh}}), http.StatusUnauthorized, "invalid_client")
	l.want(l.refresh("web", web.Refresh), http.StatusOK, "")

	// A code cannot name the client for another's token.
	l.want(l.refresh("", web.Refresh, "code", l.code()), http.StatusBadRequest, "invalid_grant")
}

func TestWithoutIDAndUnknown(t *testing.T) {
	l := newLab(t)
	for name, tc := range map[string]struct {
		path   string
		form   url.Values
		status int
		code   string
	}{
		"code":          {TokenPath, redemption(oauth.NewSecret(tokens.CodePrefix)), http.StatusBadRequest, "invalid_grant"},
		"refresh token": {TokenPath, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {oauth.NewSecret(tokens.RefreshPrefix)}}, http.StatusBadRequest, "invalid_grant"},
		"neither":       {TokenPath, url.Values{"grant_type": {"refresh_token"}}, http.StatusUnauthorized, "invalid_client"},
		"token":         {RevokePath, url.Values{"token": {oauth.NewSecret(tokens.RefreshPrefix)}}, http.StatusUnauthorized, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) { l.want(l.post(tc.path, "", tc.form), tc.status, tc.code) })
	}
	code, refresh := l.code(), l.signedIn().Refresh
	l.store.failing("Code", func() { l.want(l.redeem("", code), http.StatusServiceUnavailable, "temporarily_unavailable") })
	l.store.failing("RefreshToken", func() {
		l.want(l.refresh("", refresh), http.StatusServiceUnavailable, "temporarily_unavailable")
	})
	l.reload(func(c *labSite) { c.Issuer = "https://other.example" })
	l.want(l.redeem("", code), http.StatusBadRequest, "invalid_grant")
}

// A client that registered without saying how it authenticates may use its
// secret or not, but whoever used it once has to go on.
func TestSecretOnceUsedIsNeeded(t *testing.T) {
	for name, tc := range map[string]struct{ atCode, atFirst bool }{
		"never": {}, "at the code": {atCode: true}, "at a refresh": {atFirst: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			reg := l.register(`{"redirect_uris":["` + labRedirect + `"]}`)
			way := func(secret bool) []string {
				if secret {
					return []string{"client_secret", reg.Secret}
				}
				return nil
			}
			first := l.redeem(reg.ID, l.code("client_id", reg.ID), way(tc.atCode)...)
			l.want(first, http.StatusOK, "")
			second := l.refresh(reg.ID, first.Refresh, way(tc.atCode || tc.atFirst)...)
			l.want(second, http.StatusOK, "")
			if tc.atCode || tc.atFirst {
				l.want(l.refresh(reg.ID, second.Refresh), http.StatusUnauthorized, "invalid_client")
				l.want(l.post(RevokePath, reg.ID, url.Values{"token": {second.Refresh}}), http.StatusUnauthorized, "invalid_client")
				l.want(l.refresh(reg.ID, second.Refresh, "client_secret", "wrong"), http.StatusUnauthorized, "invalid_client")
			}
			third := l.refresh(reg.ID, second.Refresh, way(tc.atCode || tc.atFirst)...)
			l.want(third, http.StatusOK, "")
			l.want(l.post(IntrospectPath, reg.ID, url.Values{"token": {third.Access}}), http.StatusUnauthorized, "invalid_client")
			l.want(l.post(IntrospectPath, reg.ID, url.Values{"token": {third.Access}, "client_secret": {reg.Secret}}), http.StatusOK, "")
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
			l := newLab(t, func(c *labSite) {
				c.GrantLifetime, c.AccessTokenLifetime = config.Duration(tc.grant), config.Duration(tc.access)
			})
			got := l.redeem("once", l.code("client_id", "once"))
			l.want(got, http.StatusOK, "")
			if got.Refresh != "" || got.Expires != int64(tc.want/time.Second) {
				t.Errorf("got %s, want a token for %v", got.body, tc.want)
			}
			l.advance(tc.want - time.Second)
			if !l.live(got.Access) {
				t.Error("it ended early")
			}
			l.advance(time.Second)
			if l.live(got.Access) {
				t.Error("it outlives its grant")
			}
		})
	}
	l := newLab(t)
	if got := l.signedIn(); got.Expires != int64(time.Duration(config.DefaultLifetimes.AccessTokenLifetime)/time.Second) {
		t.Errorf("with a refresh token: %s", got.body)
	}
}

// Reuse of any earlier token ends the grant, though only the last two have
// records.
func TestReuseOfAnyEarlierToken_D01(t *testing.T) {
	const chain = 8
	for reused := range chain - 1 {
		l := newLab(t)
		issued := []reply{l.signedIn()}
		for range chain {
			l.advance(time.Hour)
			issued = append(issued, l.refresh("app", issued[len(issued)-1].Refresh))
		}
		_, _, err := l.store.RefreshToken(t.Context(), storage.HashOf(issued[reused].Refresh), l.time())
		if err != storage.ErrNotFound {
			t.Errorf("token %d of %d has a record: %v", reused, chain, err)
		}
		l.want(l.refresh("foreign", issued[reused].Refresh), http.StatusBadRequest, "invalid_grant")
		if !l.live(issued[chain].Access) {
			t.Fatal("another client ended the grant")
		}
		l.want(l.refresh("app", issued[reused].Refresh), http.StatusBadRequest, "invalid_grant")
		l.dead(issued[chain])
		if l.logs.FilterMessageSnippet("reuse").Len() != 1 {
			t.Errorf("log: %v", l.logs.All())
		}
	}
}

// An earlier token still stands for its grant where that is revoked.
func TestRevokeByEarlierToken(t *testing.T) {
	l := newLab(t)
	first := l.signedIn()
	last := first
	for range 4 {
		last = l.refresh("app", last.Refresh)
	}
	l.want(l.post(RevokePath, "foreign", url.Values{"token": {first.Refresh}}), http.StatusOK, "")
	if !l.live(last.Access) {
		t.Fatal("another client revoked the grant")
	}
	l.want(l.post(RevokePath, "app", url.Values{"token": {first.Refresh}}), http.StatusOK, "")
	l.dead(last)
}

// Each refresh is a write to the disk. A repeated one is served all the same.
func TestRefreshesAreLimited(t *testing.T) {
	l := newLab(t)
	issued, other := l.signedIn(), l.signedIn()
	before := issued
	for range refreshesPerMinute {
		before, issued = issued, l.refresh("app", issued.Refresh)
		l.want(issued, http.StatusOK, "")
	}
	writes := l.store.writes.Load()
	got := l.refresh("app", issued.Refresh)
	l.want(got, http.StatusTooManyRequests, "temporarily_unavailable")
	if n := l.store.writes.Load() - writes; n != 0 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d writes, %v", n, got.header)
	}
	l.want(l.refresh("app", before.Refresh), http.StatusOK, "") // the response was lost
	l.want(l.refresh("app", other.Refresh), http.StatusOK, "")
	l.advance(time.Second)
	l.want(l.refresh("app", issued.Refresh), http.StatusOK, "")
}
