package caddymodule

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// N03: a background task that panics is run again.
func TestPanicOfABackgroundTask_N03(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		runs := 0
		go every(ctx, time.Minute, func(context.Context) { runs++; panic("canary") })
		time.Sleep(3*time.Minute + time.Second)
		stop()
		synctest.Wait()
		if runs != 3 {
			t.Errorf("%d runs in three minutes", runs)
		}
	})
}

// N03: a database that is damaged at work costs its site 503, and nobody else
// anything.
func TestDamagedDatabase_N03(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	g := newGateway(t, alice+"server a /mcp "+up.URL)
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))
	file, err := os.OpenFile(g.db(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	pages := 2 * int64(os.Getpagesize()) // that say where the others are
	if _, err := file.WriteAt(make([]byte, info.Size()-pages), pages); err != nil {
		t.Fatal(err)
	}
	before := up.Hits() // the page has asked for tools
	stateOf(t, g).sweep(t.Context())
	if text := g.log(); !strings.Contains(text, "removing records whose time is over") || !strings.Contains(text, "damaged") {
		t.Error("the log does not say why")
	}
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusServiceUnavailable)
	status(t, g.call("POST", "/api/oauth/per-user/register", `{"redirect_uris":["https://a.example/cb"]}`, "Content-Type", "application/json"), http.StatusServiceUnavailable)
	status(t, g.call("GET", "/nothing", ""), http.StatusOK)
	if n := up.Hits() - before; n != 0 {
		t.Errorf("%d calls passed, want none", n)
	}
}
