//go:build postgres

package caddymodule

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// The command of docs/backup.md ends what was good when a database was put back, once
// no Caddy works on it and somebody confirmed it. Accounts stay connected.
func TestEndSignInsCommand_M14(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	text := g.onPostgres(people("alice")+newService(t).server(), server.DSN())
	file := filepath.Join(g.dir, "Caddyfile")
	docs, err := os.ReadFile("../docs/backup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, docs, _ = bytes.Cut(docs, []byte("\n## PostgreSQL\n"))
	documented := regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindSubmatch(docs)
	if documented == nil {
		t.Fatal("docs/backup.md has no command for PostgreSQL")
	}
	command := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(string(documented[1]), "caddy mcp-oauth"), "/etc/caddy/Caddyfile", file))
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
	g.person("alice").connect("notion")
	answer := g.signInWith(keyOf("alice"))
	call := func(answer string, want int) {
		t.Helper()
		status(t, g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+accessToken(t, answer)), want)
	}
	call(answer, 200)
	wantRefused("--config", "--yes")
	wantRefused("Stop all of them first; nothing was changed", "--config", file, "--yes")
	answer = g.refresh(answer, 200)

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	wantRefused("so nothing was done; add --yes", "--config", file)
	printed, err := printCommand(t, append(command, "--yes", "--json")...)
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
	call(answer, 401)
	g.refresh(answer, 400)
	call(g.signInWith(keyOf("alice")), 200) // with the account from before
}
