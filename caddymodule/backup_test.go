package caddymodule

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// A backup of a running Caddy, put back: accounts are connected as before, and nobody
// is let in by what was good when it was made.
func TestBackupAndRestore_M14(t *testing.T) {
	notion := newService(t)
	lines := people("alice") + notion.server("optional")
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	config := filepath.Join(t.TempDir(), "Caddyfile")
	text := strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.person("alice").connect("notion")
	token := accessToken(t, g.signIn("client", g.url+"/mcp"))

	file := filepath.Join(t.TempDir(), "backup.db")
	printed, err := printCommand(t, "backup", "--address", addr, file)
	if err != nil || !strings.Contains(printed, "is not in it: keep a copy of that elsewhere") {
		t.Fatalf("%v: %s", err, printed)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := printCommand(t, "backup", "--address", addr, file); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over another one: %v", err)
	}
	for _, args := range [][]string{{"check", "--address", addr}, {"check", file, "--config", config}} {
		if printed, err := printCommand(t, args...); err != nil || !strings.Contains(printed, "Nothing is wrong.") || !strings.Contains(printed, "The encryption keys open all that is sealed.") {
			t.Errorf("%v: %v: %s", args, err, printed)
		}
	}
	for _, args := range [][]string{{"restore", file, "--config", config, "--yes"}, {"compact", "--config", config}} {
		if _, err := printCommand(t, args...); err == nil || !strings.Contains(err.Error(), "stop it first") {
			t.Errorf("%v while Caddy runs: %v", args, err)
		}
	}

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := printCommand(t, "restore", file, "--config", config); err == nil || !strings.Contains(err.Error(), "kept beside it. Everybody has to sign in again") {
		t.Errorf("without being asked: %v", err)
	}
	printed, err = printCommand(t, "restore", file, "--config", config, "--yes")
	if err != nil || !strings.Contains(printed, "before-restore") || !strings.Contains(printed, "Ended: 1 grant") {
		t.Fatalf("%v: %s", err, printed)
	}
	if printed, err := printCommand(t, "compact", "--config", config); err != nil || !strings.Contains(printed, "kB now") {
		t.Errorf("%v: %s", err, printed)
	}
	if _, err := printCommand(t, "backup", "--address", addr, file+"2"); err == nil || !strings.Contains(err.Error(), "no backup was made") {
		t.Errorf("a backup without Caddy: %v", err)
	}

	g.load(text)
	status(t, g.call("POST", "/mcp", initialize, "Authorization", "Bearer "+token), http.StatusUnauthorized)
	g.person("alice").wantAccount("alice")
}

// Records that are in no file are said to be elsewhere.
func TestNoFileToBackUp(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := freeAddr(t)
	text := strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1)
	begin := strings.Index(text, "storage bbolt {")
	end := begin + strings.Index(text[begin:], "}") + 1
	text = text[:begin] + "storage memory" + text[end:]
	g.load(text)
	file := filepath.Join(t.TempDir(), "file")
	config := file + ".caddyfile"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"backup", file, "--address", addr}, {"check", "--address", addr}, {"compact", "--config", config}, {"restore", file, "--config", config},
	} {
		if _, err := printCommand(t, args...); err == nil || !strings.Contains(err.Error(), "in memory") || !strings.Contains(err.Error(), "no file") && !strings.Contains(err.Error(), "not in a file") {
			t.Errorf("%v: %v", args, err)
		}
		if left, _ := filepath.Glob(file + "*"); len(left) != 1 {
			t.Errorf("%v left behind %v", args, left)
		}
	}
}

// The keys that a backup needs are tried before anything is replaced.
func TestRestoreNeedsKeys(t *testing.T) {
	lines := alice + "access_token_format jwt\nserver a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	admin(t, addr, "GET", "/mcp_oauth/signing_keys", 200)
	dir := t.TempDir()
	file, key, target := filepath.Join(dir, "backup.db"), filepath.Join(dir, "other.key"), filepath.Join(dir, "new", "mcp_oauth.db")
	if _, err := printCommand(t, "backup", "--address", addr, file); err != nil {
		t.Fatal(err)
	}
	if _, err := printCommand(t, "rotate-key", "--address", addr, "--new", key); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"do not open 1 of what is sealed": {"--database", target, "--key-file", key},
		"is not known":                    {"--database", target},
		"say which database":              nil,
	} {
		_, err := printCommand(t, append([]string{"restore", file, "--yes"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "new", "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	printed, err := printCommand(t, "restore", file, "--database", target, "--without-keys", "--keep-sign-ins", "--yes", "--json")
	var done struct {
		Database string
		Ended    *struct{}
		Backup   struct{ Sealed map[string]int }
	}
	if i := strings.Index(printed, "{"); err != nil || i < 0 || json.Unmarshal([]byte(printed[i:]), &done) != nil || done.Database != target || done.Ended != nil || len(done.Backup.Sealed) != 1 {
		t.Errorf("%v: %s", err, printed)
	}
}
