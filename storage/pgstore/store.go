package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Store is a storage.Store in a schema of a PostgreSQL database. Any number of
// processes may have it open.
type Store struct {
	authStore
	connectionStore
	sessionStore
	db *db
}

type (
	authStore       struct{ *db }
	connectionStore struct{ *db }
	sessionStore    struct{ *db }
)

var _ storage.Store = (*Store)(nil)

func newStore(d *db) *Store { return &Store{authStore{d}, connectionStore{d}, sessionStore{d}, d} }

// recordTables are those that hold what verbs were told.
var recordTables = []string{
	"access_tokens", "refresh_tokens", "replays", "codes", "grants", "clients", "flows", "browser_sessions", "used_values",
	"site_values", "connections", "disconnects", "connect_states", "upstream_clients", "revocations",
}

// Empty implements storage.Store.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	sql := `select false`
	for _, table := range recordTables {
		sql += ` or exists (select 1 from {}` + table + `)`
	}
	filled, err := view(ctx, s.db, func(rows pgx.Rows) (filled bool, err error) {
		for rows.Next() {
			err = errors.Join(err, rows.Scan(&filled))
		}
		return filled, err
	}, sql)
	return err == nil && !filled, err
}

// Check implements storage.Store: it fails when the database is away, or became
// a replica.
func (s *Store) Check(ctx context.Context) error { return s.db.measure(ctx) }

// measure finds out how far the database's clock is ahead, and that it can be
// written to.
func (d *db) measure(ctx context.Context) error {
	type state struct {
		now      time.Time
		readOnly string
	}
	before := time.Now()
	got, err := view(ctx, d, func(rows pgx.Rows) (s state, err error) {
		for rows.Next() {
			err = errors.Join(err, rows.Scan(&s.now, &s.readOnly))
		}
		return s, err
	}, `select clock_timestamp(), current_setting('transaction_read_only')`)
	if err != nil {
		return err
	}
	if got.readOnly == "on" {
		return errReadOnly
	}
	d.clock.measured(before, got.now, time.Now())
	return nil
}

// Close implements storage.Store. It waits for the verbs that are at work.
func (s *Store) Close() error {
	if !s.db.closed.Swap(true) {
		s.db.pool.Close()
	}
	return nil
}
