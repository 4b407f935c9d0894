package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// E14: the gate exempts nothing. A path that others are known to let through
// leads nowhere near the upstream, and in whatever else a request says it
// changes nothing.
func TestNothingIsExempt_E14(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	for _, open := range []string{"/health", "/healthz", "/ping", "/metrics", "/public", "/favicon.ico", "/robots.txt", "/static", "/.well-known/oauth-authorization-server", "/oauth/consent", "/token"} {
		for _, way := range []string{
			"%s/../mcp", "%s/..%%2fmcp", "%s%%2f..%%2fmcp", "%s/%%2e%%2e/mcp", "%s/..;/mcp", "%s;/../mcp", "%s/mcp", "%s//mcp", "%s\\..\\mcp",
			"%s", "%s?x=/mcp", "%s?/mcp", "%s#", "%s#/mcp", "%s#/../mcp", "http://mcp%s/../mcp",
		} {
			path := strings.ReplaceAll(strings.Replace(way, "%s", open, 1), "%%", "%")
			for _, method := range []string{"POST", "GET", "HEAD"} {
				g.raw(method+" "+path+" HTTP/1.1", "Host: "+g.addr, "Connection: close", "Content-Length: 0")
			}
		}
		for _, path := range []string{"/mcp", "/mcp/", "/mcp?" + open, "/mcp?x=" + open, "/mcp/?" + open} {
			got := g.raw("POST "+path+" HTTP/1.1", "Host: "+g.addr, "Connection: close", "Content-Length: 0", "User-Agent: kube-probe/1.33",
				"X-Original-Url: "+open, "X-Rewrite-Url: "+open, "X-Forwarded-Uri: "+open, "X-Forwarded-Prefix: "+open, "Referer: "+g.url+open)
			if !strings.Contains(got, " 401 ") {
				t.Errorf("%s as if for %s: %s", path, open, got)
			}
		}
	}
	if n := up.Hits(); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	status(t, g.call("POST", "/mcp?x=/health", initialize), http.StatusOK)
	if n := up.Hits(); n != 1 {
		t.Errorf("with a token, %d requests reached the upstream", n)
	}
}
