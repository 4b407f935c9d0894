package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/ahead"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/changes"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/instances"
)

const (
	// maxRetries bounds how often a verb is tried again.
	maxRetries = 5
	// maxDuration bounds a verb, its retries included, however long its caller
	// would wait. The server ends statements and idle transactions after as long.
	maxDuration = 10 * time.Second
)

// db runs verbs on a pool.
type db struct {
	database *database.Database
	pool     *pgxpool.Pool // of database
	reach    reach
	staleFor time.Duration
	schema   string // quoted, with the dot behind it
	closed   atomic.Bool
	clock    database.Clock
	// now is the clock of this instance.
	now func() time.Time
	// observe, unless nil, is told of each verb.
	observe storage.Observer
	// moves uses a schema whatever mark of a move is on it.
	moves bool
	use   schemaUse
	// changes tells other processes what verbs changed.
	changes *changes.Watcher
}

// sql puts the schema in the place of each {}. Names are always qualified, so
// that it does not matter which server connection a pooler hands out.
func (d *db) sql(text string) string { return strings.ReplaceAll(text, "{}", d.schema) }

// view runs one reading statement, unless it is known already what it reads.
func view[T any](ctx context.Context, d *db, scan func(pgx.Rows) (T, error), sql string, args ...any) (T, error) {
	if out, err, is := readAlready(ctx, d, scan, sql, args...); is {
		return out, err
	}
	var out T
	began := time.Now()
	err := d.verb(ctx, func(ctx context.Context) (err error) {
		out, err = ask(ctx, d, scan, sql, args...)
		return err
	})
	d.observe.Observe(false, began, err)
	if err != nil {
		return *new(T), err
	}
	return out, nil
}

// ask sends one reading statement.
func ask[T any](ctx context.Context, d *db, scan func(pgx.Rows) (T, error), sql string, args ...any) (out T, err error) {
	rows, err := d.pool.Query(ctx, d.sql(sql), args...)
	if err != nil {
		return out, err
	}
	defer rows.Close()
	if out, err = scan(rows); err != nil {
		return out, err
	}
	rows.Close()
	return out, rows.Err()
}

// update runs fn in a transaction and returns what its last run did. What it
// read is undone with its placeholders if it writes nothing.
func update[T any](ctx context.Context, d *db, fn func(*tx) (T, error)) (T, error) {
	ahead.Of(ctx).Forget()
	var out T
	began := time.Now()
	err := d.verb(ctx, func(ctx context.Context) error {
		t, err := d.begin(ctx)
		if err != nil {
			return err
		}
		defer t.end()
		if out, err = fn(t); err != nil {
			return err
		}
		return t.finish()
	})
	d.observe.Observe(true, began, err)
	d.database.Wrote(err)
	if err != nil {
		return *new(T), err
	}
	return out, nil
}

// change is update for a verb that answers nothing.
func change(ctx context.Context, d *db, fn func(*tx) error) error {
	_, err := update(ctx, d, func(t *tx) (struct{}, error) { return struct{}{}, fn(t) })
	return err
}

// verb is retry for what must not use a schema that is not this program's any more.
func (d *db) verb(ctx context.Context, fn func(context.Context) error) error {
	if err := d.use.allowed(); err != nil {
		return err
	}
	return d.retry(ctx, fn)
}

// retry runs fn until it succeeds, fails for good, or has been tried often enough.
func (d *db) retry(ctx context.Context, fn func(context.Context) error) error {
	if d.closed.Load() {
		return storage.ErrClosed
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, maxDuration)
	defer cancel()
	for try := 0; ; try++ {
		if cause := d.database.Away(); cause != nil {
			return unreachable(d, cause)
		}
		err := fn(ctx)
		switch {
		case err == nil:
			return nil
		case d.closed.Load():
			return storage.ErrClosed
		case caller.Err() != nil || !transient(err):
			return err
		case d.database.Away() != nil:
			continue // which says so
		case try >= maxRetries || ctx.Err() != nil:
			if !lost(err) {
				return err
			}
			d.database.Doubt()
			return unreachable(d, err)
		}
		// 10 ms and twice as much each time, of which half is by chance.
		pause := 5 * time.Millisecond << try
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
			return err
		}
	}
}

// measure finds out how far the database's clock is ahead, that it can be written to,
// and that the schema is still this program's.
func (d *db) measure(ctx context.Context) error {
	type state struct {
		now        time.Time
		readOnly   string
		usableFrom int
	}
	var got state
	var before time.Time
	err := d.retry(ctx, func(ctx context.Context) (err error) {
		conn, err := d.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		before = d.now() // when there is a connection, which may have been waited for
		rows, err := conn.Query(ctx, d.sql(`select clock_timestamp(), current_setting('transaction_read_only'), usable_from from {}version`))
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&got.now, &got.readOnly, &got.usableFrom}, func() error { return nil })
		return err
	})
	if err != nil {
		return err
	}
	if got.readOnly == "on" {
		return database.ErrReadOnly
	}
	d.clock.Measured(before, got.now, d.now())
	if d.moves {
		return nil
	}
	return d.use.usableFrom(got.usableFrom)
}

// errNotCommitted: the connection was lost while committing, and the transaction
// did not happen, nor ever will.
var errNotCommitted = errors.New("storage: the connection was lost before the transaction was committed")

// undecidedError: the answer to a commit got lost, and whether it happened could not be
// found out. The verb must not run again: it would meet what it has done itself.
type undecidedError struct{ error }

func (e *undecidedError) Unwrap() error { return e.error }

// transient reports whether the same may succeed when it is tried again.
func transient(err error) bool {
	var undecided *undecidedError
	if errors.As(err, &undecided) {
		return false
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		switch answer.Code {
		case "40001", "40P01", // serialization failure, deadlock
			ambiguous,
			"57P01", "57P02", "57P03", // the server stops, crashes, starts
			"25006", // it became a standby
			"25P03", // this process stood still for so long that its transaction was ended
			"53300": // too many connections
			return true
		}
		return strings.HasPrefix(answer.Code, "08")
	}
	if errors.Is(err, errNotCommitted) || errors.Is(err, instances.ErrSwept) || errors.Is(err, database.ErrPooled) {
		return true
	}
	return lost(err)
}

// ambiguous is how a database of several nodes says that it does not know either whether
// it committed (statement_completion_unknown).
const ambiguous = "40003"

// lost reports whether the connection failed, so that the answer is not known, or the
// database does not know it.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true // whatever the answer to that was
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return strings.HasPrefix(answer.Code, "57P0") || strings.HasPrefix(answer.Code, "08") || answer.Code == ambiguous
	}
	return isNetwork(err) || pgconn.SafeToRetry(err)
}
