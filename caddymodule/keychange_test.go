package caddymodule

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// An access token outlives a reload, and a change of the key for as long as its
// own is in the ring.
func TestAccessTokensOutliveAChangeOfTheKey(t *testing.T) {
	t.Setenv("OLD_KEY", base64.StdEncoding.EncodeToString(testKey("old")))
	t.Setenv("NEW_KEY", base64.StdEncoding.EncodeToString(testKey("new")))
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	const database = "storage bbolt {"
	loadWith := func(keys ...string) {
		lines := ""
		for _, key := range keys {
			lines += "encryption_key {env." + key + "}\n"
		}
		g.load(strings.Replace(g.caddyfile(alice+"server a /mcp "+up.URL), database, lines+database, 1))
	}
	// A token that was never used is in no cache.
	unused := func() string { return accessToken(t, g.signIn("client", g.url+"/mcp")) }
	wantStatus := func(token string, want int) {
		t.Helper()
		status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), want)
	}
	loadWith("OLD_KEY")
	first, second := unused(), unused()
	loadWith("NEW_KEY", "OLD_KEY")
	wantStatus(first, http.StatusOK)
	third := unused()
	loadWith("NEW_KEY")
	wantStatus(second, http.StatusUnauthorized)
	wantStatus(third, http.StatusOK)
}

// Without a database and a key, both live as long as the process.
func TestAccessTokensOutliveAReloadInMemory(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	load := func() {
		text := g.caddyfile(alice + "server a /mcp " + up.URL)
		begin := strings.Index(text, "storage bbolt {")
		end := begin + strings.Index(text[begin:], "}") + 1
		g.load(text[:begin] + "storage memory" + text[end:])
	}
	load()
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	load()
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusOK)
}
