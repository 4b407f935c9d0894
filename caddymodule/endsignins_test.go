//go:build postgres

package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// One command ends what was good when a database was put back, once no Caddy works on
// it and somebody confirmed it.
func TestEndSignInsCommand_M14(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	text := g.onPostgres(alice+"server a /mcp "+oauthtest.Serve(t, nil).URL, server.DSN())
	file := filepath.Join(g.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		return printCommand(t, append([]string{"end-sign-ins"}, args...)...)
	}
	wantRefused := func(want string, args ...string) {
		t.Helper()
		if printed, err := run(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q; it says %s", args, err, want, printed)
		}
	}
	wantRefused("there are no records", "--config", file, "--yes")
	g.load(text)
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	answer := g.signIn("client", g.url+"/mcp")
	wantRefused("--config", "--yes")
	wantRefused("Stop all of them first; nothing was changed", "--config", file, "--yes")
	answer = g.refresh(answer, 200)

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	wantRefused("so nothing was done; add --yes", "--config", file)
	printed, err := run("--config", file, "--yes", "--json")
	var done cli.SignInsEnded
	if err != nil || json.NewDecoder(strings.NewReader(printed)).Decode(&done) != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	if done.Ended.Grants != 1 || !strings.Contains(done.Store, "postgres") {
		t.Errorf("ended %+v", done)
	}
	printed, err = run("--config", file, "--yes")
	if err != nil || !strings.Contains(printed, "Ended all sign-ins in") || !strings.Contains(printed, "0 grants") || !strings.Contains(printed, "Start Caddy now.") {
		t.Errorf("once more: %v: %s", err, printed)
	}
	g.load(text)
	status(t, g.call("POST", "/mcp", "{}", "Authorization", "Bearer "+accessToken(t, answer)), 401)
	g.refresh(answer, 400)
	g.signIn("client", g.url+"/mcp")
}
