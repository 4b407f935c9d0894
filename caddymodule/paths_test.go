package caddymodule

import (
	"net/http"
	"strings"
	"testing"
)

// F08: where nothing of ours is on a path of ours, that is what a client
// reads, not the empty 200 of Caddy; the next handler has all other paths.
func TestNothingThere_F08(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	for _, path := range []string{
		"/api/oauth/per-user/token/", "/api/oauth/per-user/authorise", "/api/oauth/", "/api/oauth", "/api/oauth/authorise",
		"/register/", "/token/", "/authorize/", "/oauth/consent/", "/oauth", "/oauth/", "/oauth/token",
		"/.well-known/oauth-authorization-server/other", "/.well-known/oauth-protected-resource/", "/.well-known/openid-configuration/mcp/x",
	} {
		res := g.call("GET", path, "")
		if body := status(t, res, http.StatusNotFound); !strings.Contains(body, `"error":"not_found"`) || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %v", path, body, res.Header)
		}
	}
	status(t, g.call("POST", "/api/oauth/per-user/token/", "grant_type=refresh_token"), http.StatusNotFound)
	for _, path := range []string{"/mcp/.well-known/oauth-authorization-server", "/mcp/.well-known/oauth-protected-resource", "/mcp/.well-known/openid-configuration"} {
		if got := status(t, g.call("GET", path, "", "Authorization", ""), http.StatusOK); !strings.Contains(got, g.url) {
			t.Errorf("%s: %q", path, got)
		}
	}
	for _, path := range []string{
		"/", "/nothing", "/registered", "/tokens", "/oauth2/token", "/api/oauthx", "/mcp/x", "/.well-known/security.txt", "/.well-known/acme-challenge/x",
		"/.well-known/oauth-protected-resources", "/blog/.well-known/oauth-authorization-server", "/mcp/.well-known/other",
	} {
		if got := status(t, g.call("GET", path, ""), http.StatusOK); got != "" {
			t.Errorf("%s: %q instead of the next handler's answer", path, got)
		}
	}
}
