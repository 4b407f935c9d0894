//go:build postgres

package signing

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

// Processes that share a PostgreSQL database, and start at once, agree on one key.
func TestOneKeyForAllProcesses(t *testing.T) {
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	var stores []storage.AuthStore
	for range 4 {
		config, err := pgstore.Parse(pgstore.Options{DSN: server.DSN()})
		if err != nil {
			t.Fatal(err)
		}
		store, err := pgstore.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		stores = append(stores, store)
	}
	startAtOnce(t, stores...)
}
