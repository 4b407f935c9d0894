package caddymodule

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

// obstacles keep a site from being opened, each in another way. Each returns
// how to remove it, and what the log says.
var obstacles = map[string]func(*testing.T, *instance, *string) (remove func(), said []string){
	"database in use": func(t *testing.T, g *instance, _ *string) (func(), []string) {
		store, err := boltstore.Open(g.db(), boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = store.Close() }, []string{"already open in another process", g.db()}
	},
	"database empty": func(t *testing.T, g *instance, _ *string) (func(), []string) {
		write(t, g.db(), "")
		return func() { _ = os.Remove(g.db()) }, []string{"it is empty", g.db()}
	},
	"database damaged": func(t *testing.T, g *instance, _ *string) (func(), []string) {
		write(t, g.db(), strings.Repeat("not a database ", 5000))
		return func() { _ = os.Remove(g.db()) }, []string{"no database", g.db()}
	},
	"folder is a file": func(t *testing.T, g *instance, text *string) (func(), []string) {
		folder := filepath.Join(g.dir, "folder")
		*text = strings.Replace(*text, g.db(), filepath.Join(folder, "mcp_oauth.db"), 1)
		write(t, folder, "")
		return func() { _ = os.Remove(folder) }, []string{"must be a folder", folder}
	},
	"key missing": func(t *testing.T, g *instance, text *string) (func(), []string) {
		file := withKeyFile(g, text)
		return func() { write(t, file, keyText("a")) }, []string{"no such file", file}
	},
	"key empty": func(t *testing.T, g *instance, text *string) (func(), []string) {
		file := withKeyFile(g, text)
		write(t, file, "")
		return func() { write(t, file, keyText("a")) }, []string{"is empty", file}
	},
	"key invalid": func(t *testing.T, g *instance, text *string) (func(), []string) {
		file := withKeyFile(g, text)
		write(t, file, "short")
		return func() { write(t, file, keyText("a")) }, []string{"must be 32 random bytes", file}
	},
}

func withKeyFile(g *instance, text *string) string {
	file := filepath.Join(g.dir, "encryption.key")
	*text = strings.Replace(*text, "storage bbolt {", "encryption_key {file."+file+"}\nstorage bbolt {", 1)
	return file
}

func keyText(name string) string { return base64.StdEncoding.EncodeToString(testKey(name)) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A site whose store or key cannot be opened when Caddy starts answers 503,
// while the others serve. The log says why, and the site serves as soon as it can.
func TestStartWithoutStore_E16(t *testing.T) {
	for name, obstacle := range obstacles {
		t.Run(name, func(t *testing.T) {
			up := oauthtest.Serve(t, nil)
			g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
			g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
			text := g.caddyfile(alice + "server a /mcp " + up.URL)
			remove, said := obstacle(t, g, &text)
			t.Cleanup(func() {
				if err := caddy.Stop(); err != nil {
					t.Error(err)
				}
			})
			g.load(text)
			res := g.call("POST", "/mcp", initialize)
			status(t, res, http.StatusServiceUnavailable)
			if res.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			status(t, g.call("GET", "/.well-known/oauth-authorization-server", ""), http.StatusServiceUnavailable)
			status(t, g.call("GET", "/elsewhere", ""), http.StatusOK)
			for _, want := range append(said, "answer 503 until it can") {
				if !strings.Contains(g.log(), want) {
					t.Errorf("the log does not say %q", want)
				}
			}
			g.load(strings.Replace(text, "header X-Loaded 1", "header X-Loaded 2", 1)) // which spoils nothing
			remove()
			oauthtest.Eventually(t, "the site does not serve, though nothing is in its way", func() bool {
				return g.call("POST", "/mcp", initialize).StatusCode == http.StatusOK
			})
		})
	}
}

// A second Caddy on the same database, with nothing else to serve, would only
// look as if it worked: it does not start. M11.
func TestSecondProcessEnds_M11(t *testing.T) {
	for name, test := range map[string]struct {
		beside string
		starts bool
	}{
		"nothing else":     {"", false},
		"something beside": {"respond /elsewhere ok", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
			store, err := boltstore.Open(g.db(), boltstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			t.Cleanup(func() { _ = caddy.Stop() })
			config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(`{
				admin off
				mcp_oauth {
					storage bbolt {
						path `+g.db()+`
					}
				}
			}
			http://`+g.addr+` {
				`+test.beside+`
				mcp_oauth {
					`+alice+`
					server a /mcp http://127.0.0.1:1/mcp
				}
			}`), nil)
			if err != nil {
				t.Fatal(err)
			}
			err = caddy.Load(config, true)
			if test.starts && err != nil {
				t.Errorf("got %v, want a start", err)
			}
			if want := "already open in another process"; !test.starts && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want an error that says %q", err, want)
			}
		})
	}
}

// A configuration that waits for its store is no reason to refuse another, and
// leaves nothing behind when it goes.
func TestStopWhileTheStoreCannotBeOpened(t *testing.T) {
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, filepath.Join(g.dir, "caddy.log")
	write(t, g.db(), "")
	g.load(g.caddyfile(alice + "server a /mcp http://127.0.0.1:1/mcp"))
	app := activeApp()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(g.db()); err != nil {
		t.Fatal(err)
	}
	if err := app.openSites(app.beginOpening()); err == nil {
		t.Error("a configuration that was stopped opened its store")
	}
	if refs := processStates.Users("bbolt " + g.db()); refs != 0 {
		t.Errorf("%d references to the store are left", refs)
	}
}
