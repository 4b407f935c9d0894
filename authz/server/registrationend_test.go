package server

import (
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestDeleteRegistration_G14(t *testing.T) {
	ts := newTestServer(t)
	reg := ts.register(publicClient)
	v := request("client_id", reg.ID, "redirect_uri", "http://127.0.0.1:5000/cb")
	issued := ts.redeem(reg.ID, ts.approved(v, alice).Get("code"), "redirect_uri", "-")
	if !ts.live(issued.Access) {
		t.Fatalf("sign-in: %s", issued.body)
	}
	code := ts.approved(v, alice).Get("code")
	w := ts.send(http.MethodDelete, reg.path(), "", "Authorization", "Bearer "+reg.Token)
	if w.Code != http.StatusNoContent || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if _, err := ts.lookup(reg.ID); oauth.AsError(err).Code != "invalid_client" {
		t.Errorf("the client: %v", err)
	}
	if ts.live(issued.Access) {
		t.Error("its access token works")
	}
	if _, g, err := ts.store.RefreshToken(t.Context(), storage.HashOf(issued.Refresh), ts.clock.Now()); err == nil && g.RevokedAt.IsZero() {
		t.Error("its refresh token works")
	}
	if c, err := ts.store.Code(t.Context(), storage.HashOf(code), ts.clock.Now()); err == nil {
		if g, err := ts.store.Grant(t.Context(), c.GrantID, ts.clock.Now()); err == nil && g.RevokedAt.IsZero() {
			t.Error("its code works")
		}
	}
	ts.want(ts.redeem(reg.ID, code, "redirect_uri", "-"), http.StatusUnauthorized, "invalid_client")
}
