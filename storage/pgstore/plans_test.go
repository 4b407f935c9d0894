//go:build postgres

package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// statements are those that stores of this test binary sent, without their schema.
var statements = &seenStatements{all: make(map[string]bool)}

// seenStatements is a tracer for pgx that keeps each statement once.
type seenStatements struct {
	mu  sync.Mutex
	all map[string]bool
}

func (s *seenStatements) add(sql string) {
	_, rest, found := strings.Cut(sql, `"test_`)
	if !found {
		return
	}
	number, _, _ := strings.Cut(rest, `"`)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[strings.ReplaceAll(sql, `"test_`+number+`".`, "{}")] = true
}

func (s *seenStatements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.add(d.SQL)
	return ctx
}
func (s *seenStatements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *seenStatements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *seenStatements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	s.add(d.SQL)
}
func (s *seenStatements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// readsAll are tables that a statement may read whole: they have a
// row or two, or one for each process.
var readsAll = []string{"version", "instances"}

// checkPlans asks how the database would run each statement that the conformance
// suite made the store send, with all tables filled: none may read a whole table,
// nor sort one, however many records others have left there. The plan is the generic
// one, which long-lived connections come to use.
func checkPlans(t *testing.T) {
	schema := server.Schema()
	s := open(t, schema)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	fillTables(t, conn, schema)
	// Of tables that are larger than these, none is read whole while there is an index.
	if _, err := conn.PgConn().Exec(ctx, "set plan_cache_mode = force_generic_plan; set enable_seqscan = off").ReadAll(); err != nil {
		t.Fatal(err)
	}
	var sent []string
	statements.mu.Lock()
	for sql := range statements.all {
		verb, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
		if slices.Contains([]string{"select", "insert", "update", "delete", "with"}, verb) {
			sent = append(sent, sql)
		}
	}
	statements.mu.Unlock()
	if len(sent) < 100 {
		t.Errorf("the store sent %d statements; all of the conformance suite, which must run before, makes it send more than 100", len(sent))
	}
	slices.Sort(sent)
	for _, sql := range sent {
		plan, err := genericPlan(ctx, conn, s.db.sql(sql))
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		for _, fault := range plan.faults(false) {
			t.Errorf("%s\n\t%s", sql, fault)
		}
	}
}

// fillTables puts so many rows into every table that a plan without an index shows.
func fillTables(t *testing.T, conn *pgx.Conn, schema string) {
	t.Helper()
	const rows = 5_000
	ctx := context.Background()
	found, err := conn.Query(ctx, `select table_name, array_agg(column_name::text), array_agg(
			case when column_default is not null then 'default' else data_type || '/' || udt_name end::text)
		from information_schema.columns where table_schema = $1 group by table_name`, schema)
	if err != nil {
		t.Fatal(err)
	}
	type table struct {
		Name           string
		Columns, Types []string
	}
	tables, err := pgx.CollectRows(found, pgx.RowToStructByPos[table])
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < len(recordTables) {
		t.Fatalf("%d tables, want those of %v and more", len(tables), recordTables)
	}
	for _, table := range tables {
		if slices.Contains(readsAll, table.Name) {
			continue
		}
		var columns, values []string
		for i, column := range table.Columns {
			value, known := map[string]string{
				"bytea/bytea": "sha256(i::text::bytea)", "ARRAY/_bytea": "array[sha256(i::text::bytea)]",
				"bigint/int8": "i", "integer/int4": "i", "boolean/bool": "i % 2 = 0", "text/text": "i::text",
				"timestamp with time zone/timestamptz": "now()",
			}[table.Types[i]]
			if !known {
				if table.Types[i] == "default" {
					continue
				}
				t.Fatalf("what to put into column %s of %s, which is %s?", column, table.Name, table.Types[i])
			}
			columns, values = append(columns, column), append(values, value)
		}
		text := fmt.Sprintf("insert into %s.%s (%s) select %s from generate_series(1, %d) i; analyze %[1]s.%[2]s",
			schema, table.Name, strings.Join(columns, ", "), strings.Join(values, ", "), rows)
		if _, err := conn.PgConn().Exec(ctx, text).ReadAll(); err != nil {
			t.Fatalf("%s: %v", table.Name, err)
		}
	}
}

// planNode is a step of a plan.
type planNode struct {
	Type     string     `json:"Node Type"`
	Role     string     `json:"Parent Relationship"`
	Relation string     `json:"Relation Name"`
	Filter   string     `json:"Filter"`
	Index    string     `json:"Index Name"`
	Searched string     `json:"Index Cond"`
	Plans    []planNode `json:"Plans"`
}

// faults returns what in a plan takes longer the more records there are: reading a
// whole table, and sorting what was read to take the first of it. Above it may be
// something that stops after a few rows.
func (n planNode) faults(stops bool) (all []string) {
	switch n.Type {
	case "Seq Scan":
		if (!stops || n.Filter != "") && !slices.Contains(readsAll, n.Relation) {
			return []string{"reads all of " + n.Relation}
		}
	case "Index Scan", "Index Only Scan", "Bitmap Index Scan":
		if n.Searched == "" && (!stops || n.Filter != "") && !slices.Contains(readsAll, strings.TrimSuffix(n.Index, "_pkey")) {
			return []string{"reads all of " + n.Index}
		}
	case "Limit":
		stops = true
	case "LockRows", "Nested Loop", "Subquery Scan", "Result", "Append": // hand on row by row
	default:
		stops = false
	}
	for _, below := range n.Plans {
		all = append(all, below.faults(stops && below.Role != "Inner" || below.Role == "InitPlan")...)
	}
	return all
}

func genericPlan(ctx context.Context, conn *pgx.Conn, sql string) (planNode, error) {
	const name = "asked"
	described, err := conn.Prepare(ctx, name, sql)
	if err != nil {
		return planNode{}, err
	}
	arguments := strings.TrimSuffix(strings.Repeat("null, ", len(described.ParamOIDs)), ", ")
	if arguments != "" {
		arguments = "(" + arguments + ")"
	}
	var text []byte
	err = conn.QueryRow(ctx, "explain (format json) execute "+name+arguments, pgx.QueryExecModeSimpleProtocol).Scan(&text)
	if err != nil {
		return planNode{}, err
	}
	if err := conn.Deallocate(ctx, name); err != nil {
		return planNode{}, err
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		return planNode{}, fmt.Errorf("%s: %w", text, err)
	}
	return plans[0].Plan, nil
}
