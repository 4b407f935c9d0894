package caddymodule

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/cli"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/encryptionkey"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// printCommand runs `caddy mcp-oauth` and returns what it prints.
func printCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
	cli.Add(cmd)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// M03: a key is changed with two reloads and without anybody's account having to be
// used in between.
func TestRotateKey_M03(t *testing.T) {
	dir := t.TempDir()
	oldFile, newFile := filepath.Join(dir, "old.key"), filepath.Join(dir, "new.key")
	old := base64.StdEncoding.EncodeToString(testKey("old"))
	if err := os.WriteFile(oldFile, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	notion := newService(t)
	lines := people("alice") + notion.server()
	g := newGateway(t, lines) // with another key, before anything is sealed
	lines += "access_token_format jwt\n"
	addr := freeAddr(t)
	loadWith := func(files ...string) {
		t.Helper()
		keys := ""
		for _, file := range files {
			keys += "encryption_key {file." + file + "}\n"
		}
		text := strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1)
		g.load(strings.Replace(text, "storage bbolt {", keys+"storage bbolt {", 1))
	}
	loadWith(oldFile)
	g.person("alice").connect("notion")

	printed, err := printCommand(t, "rotate-key", "--address", addr, "--new", newFile)
	for _, want := range []string{"encryption_key {file." + newFile + "}\n\t\tencryption_key {file." + oldFile + "}", "caddy reload"} {
		if err != nil || !strings.Contains(printed, want) {
			t.Errorf("%v; printed\n%s\nwant\n%s", err, printed, want)
		}
	}
	text, err := os.ReadFile(newFile)
	if key, parsed := encryptionkey.Parse(strings.TrimSpace(string(text)), true); err != nil || parsed != nil || len(key) != encryptionkey.Size {
		t.Errorf("the new key: %v, %v", err, parsed)
	}
	if info, err := os.Stat(newFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the new key's file: %v, %v", info.Mode(), err)
	}
	if _, err := printCommand(t, "rotate-key", "--address", addr, "--new", newFile); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second key into the same file: %v", err)
	}

	loadWith(newFile, oldFile)
	printed, err = printCommand(t, "rotate-key", "--address", addr, "--wait", "--json")
	var o rotation.EncryptionKeys
	if err != nil || json.Unmarshal([]byte(printed), &o) != nil || len(o.Keys) != 2 {
		t.Fatalf("%v: %s", err, printed)
	}
	first, second := o.Keys[0], o.Keys[1]
	if !o.Done || o.Sealed < 2 || first.Sealed["connection"] != 1 || first.Sealed["signing_keys"] != 1 || second.Sealed.Total() != 0 || o.Unreadable.Total() != 0 {
		t.Errorf("got %+v", o)
	}
	if want := first.Since.Add(24 * time.Hour); !second.MayGo.Equal(want) || first.Source != "{file."+newFile+"}" {
		t.Errorf("the second may go at %v, want %v; the first is from %s", second.MayGo, want, first.Source)
	}
	printed, err = printCommand(t, "rotate-key", "--address", addr)
	if err != nil || !strings.Contains(printed, "no, it encrypts") || !strings.Contains(printed, "nothing") {
		t.Errorf("%v: %s", err, printed)
	}
	for _, want := range []string{"sealing anew with the first encryption_key", "the first encryption_key has sealed everything"} {
		if !strings.Contains(g.log(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, secret := range []string{old, strings.TrimSpace(string(text))} {
		if strings.Contains(g.log()+printed, secret) {
			t.Error("a key is shown")
		}
	}

	loadWith(newFile)
	g.person("alice").wantAccount("alice")
	if got := admin(t, addr, "GET", "/mcp_oauth/signing_keys", 200); !strings.Contains(got, `"kid"`) {
		t.Errorf("the signing keys: %s", got)
	}
}

// A key that was taken away too early is missed in words.
func TestKeyTakenAwayEarly(t *testing.T) {
	t.Setenv("OLD_KEY", base64.StdEncoding.EncodeToString(testKey("old")))
	t.Setenv("NEW_KEY", base64.StdEncoding.EncodeToString(testKey("new")))
	lines := alice + "access_token_format jwt\nserver a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := freeAddr(t)
	for _, key := range []string{"OLD_KEY", "NEW_KEY"} {
		text := strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1)
		g.load(strings.Replace(text, "storage bbolt {", "encryption_key {env."+key+"}\nstorage bbolt {", 1))
	}
	printed, err := printCommand(t, "rotate-key", "--address", addr, "--wait")
	if want := "No key opens 1 more (1 signing keys): put the key that sealed them behind the others."; err != nil || !strings.Contains(printed, want) {
		t.Errorf("%v: %s; want %q", err, printed, want)
	}
	if want := "some records cannot be opened with any encryption_key"; !strings.Contains(g.log(), want) {
		t.Errorf("the log does not say %q", want)
	}
}
