package server

import (
	"net/http"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func TestDeleteRegistration_G14(t *testing.T) {
	l := newLab(t)
	reg := l.register(publicClient)
	v := request("client_id", reg.ID, "redirect_uri", "http://127.0.0.1:5000/cb")
	issued := l.redeem(reg.ID, l.approved(v, alice).Get("code"), "redirect_uri", "-")
	if !l.live(issued.Access) {
		t.Fatalf("sign-in: %s", issued.body)
	}
	code := l.approved(v, alice).Get("code")
	w := l.send(http.MethodDelete, reg.path(), "", "Authorization", "Bearer "+reg.Token)
	if w.Code != http.StatusNoContent || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if _, err := l.lookup(reg.ID); oauth.AsError(err).Code != "invalid_client" {
		t.Errorf("the client: %v", err)
	}
	if l.live(issued.Access) {
		t.Error("its access token works")
	}
	if _, g, err := l.store.RefreshToken(t.Context(), storage.HashOf(issued.Refresh), l.time()); err == nil && g.RevokedAt.IsZero() {
		t.Error("its refresh token works")
	}
	if c, err := l.store.Code(t.Context(), storage.HashOf(code), l.time()); err == nil {
		if g, err := l.store.Grant(t.Context(), c.GrantID, l.time()); err == nil && g.RevokedAt.IsZero() {
			t.Error("its code works")
		}
	}
	l.want(l.redeem(reg.ID, code, "redirect_uri", "-"), http.StatusUnauthorized, "invalid_client")
}
