//go:build postgres

package move_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	s, err := pgtest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server = s
	code := m.Run()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// database is a place that is a new schema.
func database(t *testing.T) place {
	t.Helper()
	c, err := pgstore.Parse(pgstore.Options{DSN: server.DSN(), Schema: server.Schema(), MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	return place{pgstore.MovePlace{Config: c}, func() (storage.Store, error) { return opened(pgstore.Open(t.Context(), c)) }}
}

func init() { places = append(places, database) }

var _ move.Place = pgstore.MovePlace{}
