//go:build postgres

package move_test

import (
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

var server *pgtest.Server

func TestMain(m *testing.M) { pgtest.Main(m, func(s *pgtest.Server) { server = s }) }

// emptied are schemas that tests are done with: to make one takes longer than most of
// them.
var emptied = make(chan string, 100)

// database is a place that is an empty schema without a mark.
func database(t *testing.T) place {
	t.Helper()
	schema := ""
	select {
	case schema = <-emptied:
	default:
		schema = server.Schema()
	}
	t.Cleanup(func() {
		err := server.Exec(strings.ReplaceAll(`do $$ declare t text; begin
			if to_regclass('@.version') is null then return; end if;
			for t in select table_name from information_schema.tables where table_schema = '@' and table_name not in ('version', 'move') loop
				execute 'delete from @.' || t;
			end loop;
			drop table if exists @.move;
			update @.version set usable_from = 1;
		end $$`, "@", schema))
		if err != nil {
			t.Error(err)
			return
		}
		emptied <- schema
	})
	c, err := pgstore.Parse(pgstore.Options{DSN: server.DSN(), Schema: schema, MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	return place{pgstore.MovePlace{Config: c}, func() (storage.Store, error) { return opened(pgstore.Open(t.Context(), c)) }}
}

func init() { places = append(places, database) }

var _ move.Place = pgstore.MovePlace{}
