package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Store is a storage.Store in a schema of a PostgreSQL database. Any number of
// processes may have it open.
type Store struct {
	authStore
	connectionStore
	sessionStore
	virtualKeyStore
	personStore
	sealedStore
	db *db
}

type (
	authStore       struct{ *db }
	connectionStore struct{ *db }
	sessionStore    struct{ *db }
	virtualKeyStore struct{ *db }
	personStore     struct{ *db }
	sealedStore     struct{ *db }
)

var _ storage.Store = (*Store)(nil)

func newStore(d *db) *Store {
	return &Store{authStore{d}, connectionStore{d}, sessionStore{d}, virtualKeyStore{d}, personStore{d}, sealedStore{d}, d}
}

// recordTables are those that hold what verbs were told.
var recordTables = []string{
	"access_tokens", "refresh_tokens", "replays", "codes", "grants", "clients", "flows", "browser_sessions", "used_values",
	"site_values", "connections", "disconnects", "connect_states", "upstream_clients", "revocations",
	"virtual_keys", "virtual_key_changes",
	"persons",
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

// sweepBatch bounds how many records of a kind one transaction removes, and so
// how long another caller waits for it.
const sweepBatch = 256

// Sweep implements storage.Store. Several instances share the work: what another
// is removing, or somebody is renewing, is left to them.
func (s *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	if err := s.db.measure(ctx); err != nil {
		return 0, err
	}
	removed := 0
	for {
		round, err := update(ctx, s.db, func(t *tx) (sweepRound, error) { return sweep(t, now) })
		removed += round.removed
		if err != nil || !round.more {
			return removed, err
		}
	}
}

// sweepRound is what one transaction removed, and whether there may be more.
type sweepRound struct {
	removed int
	more    bool
}

// sweep removes what ended. A connection may have to be revoked at its provider.
func sweep(t *tx, now time.Time) (round sweepRound, err error) {
	at := now
	t.clock.toDatabase(&at)
	var connections [][]byte
	t.query(many(&connections), `delete from {}connections where (issuer, owner, server) in (
		select issuer, owner, server from {}connections where keep_until <= $1
		order by keep_until limit $2 for update skip locked) returning body`, at.Unix(), sweepBatch)
	for _, table := range recordTables {
		if table != "connections" {
			sweepTable(t, table, at.Unix(), func(n int) { round.count(n) })
		}
	}
	housekeeping := false
	for _, table := range []string{"attempts", "locks"} {
		sweepTable(t, table, t.soon(0)-1, func(n int) {
			housekeeping = housekeeping || n > 0
			round.more = round.more || n == sweepBatch
		})
	}
	if err := t.send(); err != nil {
		return round, err
	}
	round.count(len(connections))
	for _, b := range connections {
		if c, _, err := decode(t.db, b, connectionTimes); err == nil { // a corrupt one must not stop the sweep
			if err := queueExpired(t, c, now); err != nil {
				return round, err
			}
		}
	}
	t.writes = round.removed > 0 || housekeeping
	return round, nil
}

func (r *sweepRound) count(n int) {
	r.removed += n
	r.more = r.more || n == sweepBatch
}

// sweepTable queues the removal of records of one kind.
func sweepTable(t *tx, table string, at int64, removed func(int)) {
	id := "id"
	switch table {
	case "access_tokens", "refresh_tokens", "replays", "codes", "used_values", "connect_states":
		id = "hash"
	}
	t.exec(`delete from {}`+table+` where `+id+` in (
		select `+id+` from {}`+table+` where keep_until <= $1 order by keep_until limit $2 for update skip locked)`, at, sweepBatch)
	t.batch.QueuedQueries[len(t.batch.QueuedQueries)-1].Exec(func(tag pgconn.CommandTag) error {
		removed(int(tag.RowsAffected()))
		return nil
	})
}
