//go:build unix

// Package processes opens a PostgreSQL database for tests as several processes do
// that share it: each has connections and caches of its own.
package processes

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

// Open opens a new database n times, until the test ends.
func Open(t testing.TB, n int) []*pgstore.Store {
	t.Helper()
	options, err := pgstore.Parse(pgstore.Options{DSN: pgtest.For(t, pgtest.Options{}).DSN()})
	if err != nil {
		t.Fatal(err)
	}
	stores := make([]*pgstore.Store, n)
	for i := range stores {
		if stores[i], err = pgstore.Open(t.Context(), options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stores[i].Close() })
	}
	return stores
}
