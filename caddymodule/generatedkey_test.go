package caddymodule

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func isEmpty(empty bool) func() (bool, error) { return func() (bool, error) { return empty, nil } }

// A key is made anew where nothing can be lost by it, and nowhere else.
func TestLostKey(t *testing.T) {
	for name, test := range map[string]struct {
		file *string // nil: there is none
		used bool
		want string // of the error; empty if there is a key
	}{
		"first start":                          {nil, false, ""},
		"killed at the first start":            {new(string), false, ""},
		"lost, beside records":                 {nil, true, "is missing or empty, and the database mcp_oauth.db has records"},
		"killed, beside records":               {new(string), true, "is missing or empty, and the database mcp_oauth.db has records"},
		"damaged, and it may be another's too": {new("short"), false, "is damaged; restore it from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "encryption.key")
			if test.file != nil {
				if err := os.WriteFile(path, []byte(*test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			key, err := generatedKey(path, "mcp_oauth.db", isEmpty(!test.used))
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want one with %q and the file", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if again, err := generatedKey(path, "mcp_oauth.db", isEmpty(false)); err != nil || !bytes.Equal(again, key) {
				t.Errorf("the next start: another key, or %v", err)
			}
		})
	}
}

// The database says whether it has no records.
func TestEmpty(t *testing.T) {
	g := newGateway(t, alice+"server a /mcp http://127.0.0.1:1/mcp")
	for _, want := range []bool{true, false} {
		if got, err := stateOf(t, g).store.Empty(t.Context()); err != nil || got != want {
			t.Errorf("Empty: %t, %v; want %t", got, err, want)
		}
		g.signIn("client", g.url+"/mcp")
	}
}
