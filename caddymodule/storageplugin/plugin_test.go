// Package storageplugin proves that a store which is none of ours can be plugged
// in, with what is exported to everybody.
package storageplugin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/mcpoauth/caddy-mcp-oauth/caddymodule"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

func init() { caddy.RegisterModule(new(Tables)) }

// Tables is a store of somebody else.
type Tables struct {
	DSN    string `json:"dsn"`
	Schema string `json:"schema,omitempty"`
}

var (
	mu     sync.Mutex
	events []string // what was opened and closed
)

func note(event string) {
	mu.Lock()
	defer mu.Unlock()
	events = append(events, event)
}

func (*Tables) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "mcp_oauth.storage.tables", New: func() caddy.Module { return new(Tables) }}
}

func (s *Tables) Provision(caddy.Context) error {
	if s.DSN == "" {
		return fmt.Errorf("a dsn is missing")
	}
	return nil
}

func (s *Tables) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&s.DSN) {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if d.Val() != "schema" || !d.Args(&s.Schema) {
			return d.Errf("tables has no option %q", d.Val())
		}
	}
	return nil
}

func (s *Tables) Key() string   { return s.DSN }
func (s *Tables) Durable() bool { return false }

func (s *Tables) Open(context.Context) (storage.Store, error) {
	note("open " + s.DSN)
	return &noted{memstore.New(), s.DSN}, nil
}

type noted struct {
	storage.Store
	dsn string
}

func (s *noted) Close() error {
	note("close " + s.dsn)
	return s.Store.Close()
}

func adapt(t *testing.T, storage string) (json.RawMessage, error) {
	t.Helper()
	text := "{\nadmin off\nmcp_oauth {\n" + storage + "\n}\n}\nhttp://127.0.0.1:0 {\nmcp_oauth {\npublic_url http://127.0.0.1\nidentity anonymous\nserver a /mcp http://127.0.0.1:1/mcp\n}\n}\n"
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return adapted, err
}

// A configuration chooses the store by the name of its module, which reads the
// rest. Configurations with the same key share it across a reload.
func TestStoreOfSomebodyElse(t *testing.T) {
	t.Cleanup(func() { _ = caddy.Stop() })
	expect := func(what string, want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(events, want) {
			t.Fatalf("%s: got %q, want %q", what, events, want)
		}
	}
	load := func(storage string) {
		t.Helper()
		config, err := adapt(t, storage)
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load(config, true); err != nil {
			t.Fatal(err)
		}
	}
	config, err := adapt(t, "storage tables one {\nschema mcp\n}")
	if err != nil {
		t.Fatal(err)
	}
	if want := `"storage":{"dsn":"one","engine":"tables","schema":"mcp"}`; !strings.Contains(string(config), want) {
		t.Errorf("adapted to %s, want %s", config, want)
	}
	var parsed caddy.Config
	if err := json.Unmarshal(config, &parsed); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&parsed); err != nil {
		t.Fatal(err)
	}
	expect("validated")
	load("storage tables one {\nschema mcp\n}")
	expect("started", "open one")
	load("storage tables one")
	expect("loaded again with the same key", "open one")
	load("storage tables two")
	expect("loaded with another key", "open one", "open two", "close one")
	load("storage memory")
	expect("loaded with another store", "open one", "open two", "close one", "close two")
}

// What is wrong is told as for our own.
func TestMistakesOfStores(t *testing.T) {
	for lines, want := range map[string]string{
		"storage tabels one":                 "storage: unknown value \"tabels\"; did you mean tables?, at Caddyfile:4",
		"storage":                            "storage: an argument is missing; use one of: bbolt, postgres, memory, tables, at Caddyfile:4",
		"storage tables one {\ncolumn x\n}":  `tables has no option "column"`,
		"storage tables one\nstorage memory": "storage is already set on line 4; remove one, at Caddyfile:5",
	} {
		if _, err := adapt(t, lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", lines, err, want)
		}
	}
	for app, want := range map[string]string{
		`{"storage":{"engine":"tabels"}}`:                      `storage.engine: unknown storage "tabels"; did you mean tables?`,
		`{"storage":{"engine":"tables"}}`:                      "storage: provision mcp_oauth.storage.tables: a dsn is missing",
		`{"storage":{"engine":"tables","dsn":"x","path":"y"}}`: `unknown field "path"`,
	} {
		var config caddy.Config
		if err := json.Unmarshal([]byte(`{"admin":{"disabled":true},"apps":{"mcp_oauth":`+app+`}}`), &config); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", app, err, want)
		}
	}
}
