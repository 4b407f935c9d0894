//go:build postgres

package pgstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// However often a client refreshes, its grant keeps a bounded number of rows, and
// with a vacuum now and then, as the database makes them, the tables do not grow.
// What transactions leave for each other goes with the next sweep.
func TestRefreshesDoNotGrowTheTables_I21(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	c := &refresher{t: t, store: s, now: time.Now()}
	c.signIn()
	upkeep := func() (rows, bytes int64) {
		t.Helper()
		sql(t, "update "+schema+".attempts set keep_until = 1; update "+schema+".locks set keep_until = 1")
		if _, err := s.Sweep(context.Background(), c.now); err != nil {
			t.Fatal(err)
		}
		for _, table := range slices.Concat(ownTables, recordTables) {
			sql(t, "vacuum "+schema+"."+table)
			var n, size int64
			err := s.db.pool.QueryRow(context.Background(), s.db.sql(
				`select (select count(*) from {}`+table+`), pg_total_relation_size('{}`+table+`')`)).Scan(&n, &size)
			if err != nil {
				t.Fatal(err)
			}
			rows, bytes = rows+n, bytes+size
		}
		return rows, bytes
	}
	const between = 500
	for range between {
		c.refresh()
	}
	_, _ = upkeep()
	for range between {
		c.refresh()
	}
	rows, bytes := upkeep()
	for range 4 {
		for range between {
			c.refresh()
		}
		r, b := upkeep()
		if r != rows {
			t.Errorf("after %d refreshes there are %d rows, after %d there were %d", c.n, r, 2*between, rows)
		}
		if b > bytes+bytes/4 {
			t.Errorf("after %d refreshes the tables have %d bytes, after %d they had %d", c.n, b, 2*between, bytes)
		}
	}
}

// A sweep removes a batch at a time, also where more than that ended in the same
// second, and leaves to others what they have locked, without waiting for them.
func TestSweepHoldsNobodyUp_M13(t *testing.T) {
	s, schema, _ := openSchema(t, schemas)
	const ended = 10*sweepBatch + 1
	sql(t, fmt.Sprintf(`insert into %s.used_values (hash, keep_until, body)
		select sha256(int8send(n)), 1000 + n / %d, '' from generate_series(1::bigint, %d) n`, schema, 2*sweepBatch, ended))
	ctx := context.Background()
	other, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(ctx) }()
	if _, err := other.PgConn().Exec(ctx, "begin; select 1 from "+schema+".used_values where keep_until = 1001 limit 1 for update").ReadAll(); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if n, err := s.Sweep(ctx, now); n != ended-1 || err != nil {
		t.Errorf("swept %d of %d of which one is locked, %v", n, ended, err)
	}
	if _, err := other.Exec(ctx, "rollback"); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(ctx, now); n != 1 || err != nil {
		t.Errorf("swept %d, want the one that was locked, %v", n, err)
	}
	var transactions int
	if err := s.db.pool.QueryRow(ctx, s.db.sql("select count(*) from {}attempts")).Scan(&transactions); err != nil {
		t.Fatal(err)
	}
	if transactions < ended/sweepBatch {
		t.Errorf("%d records were swept in %d transactions: that is more than %d in one", ended, transactions, sweepBatch)
	}
}

// A batch is what was picked once, also where the planner would look at the picked ones
// again for each record.
func TestSweepUnderOtherPlans_M13(t *testing.T) {
	for _, off := range [][]string{
		{"enable_hashagg", "enable_hashjoin", "enable_mergejoin"},
		{"enable_hashagg", "enable_hashjoin", "enable_mergejoin", "enable_material", "enable_sort"},
		{"enable_hashagg", "enable_sort", "enable_nestloop", "enable_indexscan", "enable_bitmapscan"},
	} {
		c, err := Parse(Options{DSN: server.DSN(), Schema: server.Schema()})
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range off {
			c.pool.ConnConfig.RuntimeParams[setting] = "off"
		}
		s, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		const ended = 10*sweepBatch + 1
		if _, err := s.db.pool.Exec(t.Context(), s.db.sql(fmt.Sprintf(`insert into {}used_values (hash, keep_until, body)
			select sha256(int8send(n)), 1000 + n / %d, '' from generate_series(1::bigint, %d) n`, 2*sweepBatch, ended))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.pool.Exec(t.Context(), s.db.sql("analyze {}used_values")); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Sweep(t.Context(), time.Now()); n != ended || err != nil {
			t.Errorf("without %v: swept %d of %d, %v", off, n, ended, err)
		}
		var transactions int
		if err := s.db.pool.QueryRow(t.Context(), s.db.sql("select count(*) from {}attempts")).Scan(&transactions); err != nil {
			t.Fatal(err)
		}
		if want := ended/sweepBatch + 1; transactions != want {
			t.Errorf("without %v: %d transactions, want %d", off, transactions, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// refresher has one grant and refreshes it.
type refresher struct {
	t     *testing.T
	store *Store
	now   time.Time
	n     int
}

const (
	growthIssuer = "https://mcp.example.com"
	growthGrant  = "00000000-0000-4000-8000-000000000001"
)

func (c *refresher) hash(kind string, n int) storage.Hash {
	return sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
}

func (c *refresher) issue(n int) storage.Issue {
	who := storage.Identity{Kind: "user_id", Subject: "user_id:a"}
	return storage.Issue{
		Access: storage.AccessToken{
			Hash: c.hash("access", n), GrantID: growthGrant, Issuer: growthIssuer, ClientID: "c", Identity: who,
			Audience: []string{growthIssuer + "/mcp"}, IssuedAt: c.now, ExpiresAt: c.now.Add(time.Hour),
		},
		Refresh: &storage.RefreshToken{
			Hash: c.hash("refresh", n), GrantID: growthGrant, Issuer: growthIssuer, ClientID: "c", ExpiresAt: c.now.Add(30 * 24 * time.Hour),
		},
		GrantExpiresAt: c.now.Add(30 * 24 * time.Hour),
	}
}

func (c *refresher) signIn() {
	c.t.Helper()
	ctx, who := context.Background(), c.issue(0).Access.Identity
	flow := storage.Flow{ID: "flow", Issuer: growthIssuer, Identity: who, ExpiresAt: c.now.Add(time.Minute)}
	if v, err := c.store.SaveFlow(ctx, flow, c.now); err != nil || v != storage.OK {
		c.t.Fatal(v, err)
	}
	code := storage.Code{Hash: c.hash("code", 0), GrantID: growthGrant, Issuer: growthIssuer, ClientID: "c", Challenge: "x", ExpiresAt: c.now.Add(time.Minute)}
	v, err := c.store.SubmitFlow(ctx, storage.Submission{
		FlowID: flow.ID, Issuer: growthIssuer, Identity: who, Now: c.now, Code: &code,
		Grant: &storage.Grant{
			ID: growthGrant, Issuer: growthIssuer, ClientID: "c", Identity: who, Resources: []string{growthIssuer + "/mcp"}, CreatedAt: c.now,
			ExpiresAt: c.now.Add(time.Minute), AbsoluteExpiresAt: c.now.Add(90 * 24 * time.Hour),
		},
	})
	if err != nil || v != storage.OK {
		c.t.Fatal(v, err)
	}
	res, err := c.store.ClaimCode(ctx, storage.CodeClaim{Hash: code.Hash, Issuer: growthIssuer, ClientID: "c", Challenge: "x", Now: c.now, Issue: c.issue(0)})
	if err != nil || res.Verdict != storage.OK {
		c.t.Fatal(res.Verdict, err)
	}
}

func (c *refresher) refresh() {
	c.t.Helper()
	c.now = c.now.Add(30 * time.Second)
	res, err := c.store.RotateRefreshToken(context.Background(), storage.Rotation{
		Hash: c.hash("refresh", c.n), Issuer: growthIssuer, ClientID: "c", Grace: time.Minute, GrantID: growthGrant,
		Issue: c.issue(c.n + 1), Replay: make([]byte, 350), Now: c.now,
	})
	if err != nil || res.Verdict != storage.OK {
		c.t.Fatalf("refresh %d: verdict %v, %v", c.n, res.Verdict, err)
	}
	c.n++
}
