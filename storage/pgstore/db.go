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
	clock    clock
	// now is the clock of this instance.
	now func() time.Time
	// observe, unless nil, is told of each verb.
	observe storage.Observer
	// moves uses a schema whatever mark of a move is on it.
	moves bool
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
	err := d.retry(ctx, func(ctx context.Context) error {
		rows, err := d.pool.Query(ctx, d.sql(sql), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		if out, err = scan(rows); err != nil {
			return err
		}
		rows.Close()
		return rows.Err()
	})
	d.observe.Observe(false, began, err)
	if err != nil {
		return *new(T), err
	}
	return out, nil
}

// update runs fn in a transaction and returns what its last run did. What it
// read is undone with its placeholders if it writes nothing.
func update[T any](ctx context.Context, d *db, fn func(*tx) (T, error)) (T, error) {
	ahead.Of(ctx).Forget()
	var out T
	began := time.Now()
	err := d.retry(ctx, func(ctx context.Context) error {
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
			return d.unreachable(cause)
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
			return d.unreachable(err)
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

// unreachable is the error of a verb that nobody answers.
func (d *db) unreachable(cause error) error {
	return &storage.UnreachableError{StaleFor: d.staleFor, Cause: cause}
}

// measure finds out how far the database's clock is ahead, and that it can be
// written to.
func (d *db) measure(ctx context.Context) error {
	type state struct {
		now      time.Time
		readOnly string
	}
	before := d.now()
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
		return database.ErrReadOnly
	}
	d.clock.measured(before, got.now, d.now())
	return nil
}

// errNotCommitted: the connection was lost while committing, and the transaction
// did not happen, nor ever will.
var errNotCommitted = errors.New("storage: the connection was lost before the transaction was committed")

// transient reports whether the same may succeed when it is tried again.
func transient(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		switch answer.Code {
		case "40001", "40P01", // serialization failure, deadlock
			"57P01", "57P02", "57P03", // the server stops, crashes, starts
			"25006", // it became a standby
			"25P03", // this process stood still for so long that its transaction was ended
			"53300": // too many connections
			return true
		}
		return strings.HasPrefix(answer.Code, "08")
	}
	if errors.Is(err, errNotCommitted) || errors.Is(err, instances.ErrSwept) {
		return true
	}
	return lost(err)
}

// lost reports whether the connection failed, so that the answer is not known.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true // whatever the answer to that was
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return strings.HasPrefix(answer.Code, "57P0") || strings.HasPrefix(answer.Code, "08")
	}
	return isNetwork(err) || pgconn.SafeToRetry(err)
}

// clock translates between the time of this instance, which callers give and
// get, and that of the database, which is what is stored: several instances may
// disagree by minutes, and a record must end for all of them at once.
//
// The difference counts in whole seconds, and below two of them not at all:
// clocks that are kept by NTP agree, and a measurement takes a round trip.
type clock struct{ seconds atomic.Int64 }

func (c *clock) offset() time.Duration { return time.Duration(c.seconds.Load()) * time.Second }

// measured notes what the database's clock showed between two of ours, unless it
// took so long, as while a connection is waited for, that it says little.
func (c *clock) measured(before, database, after time.Time) {
	if after.Sub(before) > time.Second {
		return
	}
	ahead := database.Sub(before.Add(after.Sub(before) / 2)).Round(time.Second)
	if ahead.Abs() < 2*time.Second {
		ahead = 0
	}
	c.seconds.Store(int64(ahead / time.Second))
}

func (c *clock) toDatabase(times ...*time.Time) { shift(c.offset(), times) }

func (c *clock) fromDatabase(times ...*time.Time) { shift(-c.offset(), times) }

// shift moves times, but for the zero one, which means none.
func shift(by time.Duration, times []*time.Time) {
	if by == 0 {
		return
	}
	for _, t := range times {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
}
