//go:build postgres

package move_test

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

var server *pgtest.Server

func TestMain(m *testing.M) { pgtest.Main(m, func(s *pgtest.Server) { server = s }) }

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
