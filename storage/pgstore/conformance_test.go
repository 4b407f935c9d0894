//go:build postgres

package pgstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// server is what all tests of the package use; each has a schema of its own.
var server *pgtest.Server

func TestMain(m *testing.M) { pgtest.Main(m, func(s *pgtest.Server) { server = s }) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storage.Store {
		s, _, _ := openSchema(t, schemas)
		return s
	}, storetest.Shared(func(t *testing.T, s storage.Store) storage.Store {
		again := open(t, strings.Trim(s.(*Store).db.schema, `".`))
		t.Cleanup(func() {
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
		return again
	}))
	t.Run("plans", checkPlans)
}

// schemas that a test has emptied: to make one takes longer than most tests.
var schemas, brokenSchemas = make(chan string, 100), make(chan string, 100)

func openSchema(t testing.TB, from chan string) (s *Store, schema string, made bool) {
	t.Helper()
	select {
	case schema = <-from:
	default:
		schema, made = server.Schema(), true
	}
	s = open(t, schema)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		text := ""
		for _, table := range slices.Concat(ownTables, []string{"instances", "rates"}, recordTables) {
			text += "delete from " + schema + "." + table + ";"
		}
		sql(t, text)
		from <- schema
	})
	return s, schema, made
}

func open(t testing.TB, schema string) *Store {
	t.Helper()
	c, err := Parse(Options{DSN: server.DSN(), Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	c.pool.ConnConfig.Tracer = statements
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sql(t testing.TB, text string) {
	t.Helper()
	if err := server.Exec(text); err != nil {
		t.Fatal(err)
	}
}

// Triggers in the database fail the n-th row that is written.
func TestFaults_B15(t *testing.T) {
	storetest.RunFaults(t, func(t *testing.T) storetest.Breakable {
		s, schema, made := openSchema(t, brokenSchemas)
		if made {
			breakRows(t, schema)
		}
		t.Cleanup(func() { sql(t, "update "+schema+".broken set at = 0") })
		return storetest.Breakable{
			Store: s,
			FailWrite: func(n int) {
				sql(t, fmt.Sprintf("select setval('%s.row', 1, false); update %s.broken set at = %d", schema, schema, n))
			},
			Dump: func(t testing.TB) string { return dump(t, s) },
		}
	})
}

func breakRows(t testing.TB, schema string) {
	t.Helper()
	text := `create sequence @.row; create table @.broken (at bigint); insert into @.broken values (0);
		create function @.fail() returns trigger language plpgsql as $$ begin
			if nextval('@.row') = (select at from @.broken) then
				raise exception 'the disk is on fire' using errcode = '58030';
			end if;
			return coalesce(new, old);
		end $$;`
	for _, table := range slices.Concat(ownTables, recordTables) {
		text += "create trigger fail before insert or update or delete on @." + table + " for each row execute function @.fail();"
	}
	sql(t, strings.ReplaceAll(text, "@", schema))
}

// dump returns all records.
func dump(t testing.TB, s *Store) string {
	t.Helper()
	var all strings.Builder
	for _, table := range recordTables {
		all.WriteString(dumpOf(t, s, table))
	}
	return all.String()
}

func dumpOf(t testing.TB, s *Store, table string) string {
	t.Helper()
	var all strings.Builder
	rows, err := s.db.pool.Query(context.Background(), s.db.sql(`select r::text from {}`+table+` r order by 1`))
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		fmt.Fprintf(&all, "%s %s\n", table, text)
	}
	return all.String()
}
