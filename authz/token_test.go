package authz

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSignInAndRefresh_AS60_AS62_AS64_AS65_AS70_C13(t *testing.T) {
	for _, client := range []string{"app", "web"} {
		for _, redirect := range []string{labRedirect, "-"} {
			t.Run(client+" "+redirect, func(t *testing.T) {
				l := newLab(t)
				code := l.code("client_id", client)
				before := l.store.writes.Load()
				first := l.redeem(client, code, "redirect_uri", redirect)
				l.want(first, http.StatusOK, "")
				if first.Type != "Bearer" || first.Expires != 3600 || first.Scope != "mcp:use" {
					t.Errorf("response = %s", first.body)
				}
				if !strings.HasPrefix(first.Access, accessTokenPrefix) || !strings.HasPrefix(first.Refresh, refreshTokenPrefix) {
					t.Errorf("response = %s", first.body)
				}
				if n := l.store.writes.Load() - before; n != 1 {
					t.Errorf("%d writes", n)
				}
				l.advance(30 * time.Minute)
				second := l.refresh(client, first.Refresh)
				l.want(second, http.StatusOK, "")
				if second.Access == first.Access || second.Refresh == first.Refresh || second.Expires != 3600 || second.Scope != "mcp:use" {
					t.Errorf("response = %s", second.body)
				}
				if n := l.store.writes.Load() - before; n != 2 {
					t.Errorf("%d writes", n)
				}
				if !l.live(first.Access) || !l.live(second.Access) {
					t.Error("an access token does not work")
				}
			})
		}
	}
}
