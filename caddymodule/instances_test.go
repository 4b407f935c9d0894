//go:build postgres

package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/instances"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/rotation"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// neighbour is another Caddy on a database, as far as instances see of each other.
type neighbour struct {
	*instances.Instances
	*testing.T
	serves *instances.Configuration
}

func newNeighbour(t *testing.T, dsn string) *neighbour {
	t.Helper()
	options, err := pgstore.Parse(pgstore.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	store, err := pgstore.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &neighbour{Instances: instances.New(store, "", time.Now), T: t}
}

func (n *neighbour) load(keys ...string) {
	n.Helper()
	var raw [][]byte
	for _, name := range keys {
		raw = append(raw, testKey(name))
	}
	ring, err := seal.NewKeyring(raw...)
	if err != nil {
		n.Fatal(err)
	}
	c := &instances.Configuration{Store: "postgres", Loaded: time.Now(), Ring: ring, Events: event.NewRecorder(event.Options{Now: time.Now})}
	if err := n.Join(n.Context(), c); err != nil {
		n.Fatal(err)
	}
	n.serves = c
}

// onDatabase returns a Caddy, and what writes its configuration on a database with keys.
func onDatabase(t *testing.T, dsn, lines, adminAddr string) (g *instance, write func(keys ...string) string) {
	g = &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return g, func(keys ...string) string {
		t.Helper()
		written := ""
		for _, name := range keys {
			t.Setenv("MCP_TEST_KEY_"+name, base64.StdEncoding.EncodeToString(testKey(name)))
			written += "encryption_key {env.MCP_TEST_KEY_" + name + "}\n"
		}
		text := strings.Replace(g.onPostgres(lines, dsn), "admin off", "admin "+adminAddr, 1)
		return strings.Replace(text, "storage postgres ", written+"storage postgres ", 1)
	}
}

// An installation with another key is refused on the schema of others, in words that
// say what to do; a key that is lost can be declared so.
func TestTwoClustersOnOneSchema_M03(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	addr := freeAddr(t)
	g, write := onDatabase(t, server.DSN(), alice+"server a /mcp "+oauthtest.Serve(t, nil).URL, addr)
	other := newNeighbour(t, server.DSN())
	other.load("ours")
	ours := other.serves.Ring.Sealing()
	g.load(write("strange"))
	status(t, g.call("POST", "/mcp", "{}"), 503)
	for _, want := range []string{"is sealed with the encryption key " + ours, "a schema of its own", "rotate-key --lost " + ours} {
		if !strings.Contains(g.log(), want) {
			t.Errorf("the log does not say %q:\n%s", want, g.log())
		}
	}
	if printed, err := printCommand(t, "health", "--address", addr); err == nil || !strings.Contains(err.Error(), ours) {
		t.Errorf("health: %q, %v", printed, err)
	}
	if _, err := printCommand(t, "rotate-key", "--address", addr, "--yes", "--lost", ours); err == nil || !strings.Contains(err.Error(), "is not lost: instance "+other.ID()) {
		t.Errorf("a key that somebody has is declared lost: %v", err)
	}
	if err := other.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if printed, err := printCommand(t, "rotate-key", "--address", addr, "--yes", "--lost", ours); err != nil || !strings.Contains(printed, ours) {
		t.Errorf("%q, %v", printed, err)
	}
	oauthtest.Eventually(t, "it is refused still", func() bool { return g.call("POST", "/mcp", "{}").StatusCode != 503 })
}

// M03: a key is changed while two instances work, one after the other: accounts and
// tokens stay good at every step, and the new key seals once both have it. A key that
// is taken away too early refuses the reload, and is named.
func TestRotateAcrossInstances_M03(t *testing.T) {
	server := pgtest.For(t, pgtest.Options{})
	addr := freeAddr(t)
	notion := newService(t)
	g, write := onDatabase(t, server.DSN(), people("alice")+notion.server()+"access_token_format jwt\n", addr)
	other := newNeighbour(t, server.DSN())
	g.load(write("old"))
	other.load("old")
	g.person("alice").connect("notion")
	turn := func() {
		t.Helper()
		if err := other.Turn(t.Context(), other.serves); err != nil || other.Problem() != nil {
			t.Fatal(err, other.Problem())
		}
	}
	keys := func() (o rotation.EncryptionKeys) {
		t.Helper()
		if err := json.Unmarshal([]byte(admin(t, addr, "GET", "/mcp_oauth/encryption_keys", 200)), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	g.load(write("new", "old"))
	turn()
	g.person("alice").wantAccount("alice")
	if o := keys(); !o.Waits || o.Done || o.Keys[0].Encrypts || !o.Keys[1].Encrypts {
		t.Errorf("while one instance has only the old key: %+v", o)
	}
	for command, wanted := range map[string][]string{"instances": {other.ID(), "(this)"}, "status": {"notion"}} {
		printed, err := printCommand(t, command, "--address", addr)
		for _, want := range append(wanted, "do not have the same encryption keys", "Give all instances the same encryption_key") {
			// What cannot be printed would be replaced.
			if err != nil || !strings.Contains(printed, want) || strings.Contains(printed, "\uFFFD") {
				t.Errorf("%s: %v, want %q in\n%s", command, err, want, printed)
			}
		}
	}
	other.load("new", "old")
	oauthtest.Eventually(t, "the new key does not seal everything", func() bool {
		turn()
		o := keys()
		return o.Done && o.Keys[0].Encrypts && o.Keys[0].Sealed["connection"] == 1 && o.Keys[0].Sealed["signing_keys"] == 1
	})
	turn()
	if other.serves.Ring.Sealing() != keys().Keys[0].ID {
		t.Error("the other instance seals with the old key")
	}
	g.person("alice").wantAccount("alice")
	if err := loadCaddyfile(write("old")); err == nil || !strings.Contains(err.Error(), "is sealed with the encryption key "+keys().Keys[0].ID) {
		t.Errorf("the key that seals is taken away: %v", err)
	}
	g.load(write("new"))
	g.person("alice").wantAccount("alice")
}
