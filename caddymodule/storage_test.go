package caddymodule

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// What chose a store before stores were modules still does.
func TestStorageIsChosen(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	preset := filepath.Join(caddy.AppDataDir(), "mcp_oauth", "mcp_oauth.db")
	for app, want := range map[string]struct {
		key     string
		durable bool
		wrong   string
	}{
		`{}`:                            {key: "bbolt " + preset, durable: true},
		`{"storage":null}`:              {key: "bbolt " + preset, durable: true},
		`{"storage":{}}`:                {key: "bbolt " + preset, durable: true},
		`{"storage":{"engine":""}}`:     {key: "bbolt " + preset, durable: true},
		`{"storage":{"engine":null}}`:   {key: "bbolt " + preset, durable: true},
		`{"storage":{"path":"/d/./x"}}`: {key: "bbolt /d/x", durable: true},
		`{"storage":{"engine":"bbolt","path":"/d/x"}}`: {key: "bbolt /d/x", durable: true},
		`{"storage":{"ENGINE":"bbolt","Path":"/d/x"}}`: {key: "bbolt /d/x", durable: true},
		`{"storage":{"engine":"memory"}}`:              {key: "memory "},
		`{"storage":{"engine":"memory","path":""}}`:    {key: "memory "},
		`{"storage":"memory"}`:                         {wrong: "storage: must be an object, not this text"},
		`{"storage":{"engine":5}}`:                     {wrong: "storage.engine: must be a text in quotes, not this number"},
		`{"storage":{"path":true}}`:                    {wrong: "storage.path: must be a text in quotes, not true or false"},
		`{"storage":{"paths":"x"}}`:                    {wrong: "storage.paths: there is no such field; did you mean path?"},
		`{"storage":{"x":"y"}}`:                        {wrong: "storage.x: there is no such field; use one of: engine, path"},
		`{"storage":{"engine":"memory","x":"y"}}`:      {wrong: "storage.x: there is no such field; use one of: engine, path"},
	} {
		a := &App{ctx: ctx}
		err := json.Unmarshal([]byte(app), a)
		if err == nil {
			err = a.loadStorage()
		}
		if want.wrong != "" {
			if err == nil || err.Error() != want.wrong {
				t.Errorf("%s: got %v, want %s", app, err, want.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", app, err)
		} else if a.poolKey() != want.key || a.opener.Durable() != want.durable {
			t.Errorf("%s: got %q, durable %t; want %q, %t", app, a.poolKey(), a.opener.Durable(), want.key, want.durable)
		}
	}
}
