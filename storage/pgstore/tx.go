package pgstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/changes"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
)

// attemptMemory is how long a commit is remembered for whoever lost the answer.
// It is far longer than a verb is tried for.
const attemptMemory = 10 * time.Minute

// tx is a transaction. Statements wait until they are sent together, in one
// round trip: those that lock and read, then, once the verb decided, those that
// write, with the commit.
type tx struct {
	*db
	ctx    context.Context
	conn   *pgxpool.Conn
	batch  *pgx.Batch
	writes bool
	told   []storage.Change
	act    *act
}

// act is a statement that decides by itself what a verb comes to, so that it is sent
// with the commit, in one round trip. It does nothing, or returns one value, which
// the attempt keeps.
type act struct {
	sql    string
	args   []any
	done   bool
	answer []byte
}

// actBy makes a statement the act of a verb that changes nothing else.
func (t *tx) actBy(sql string, args ...any) *act {
	t.writes, t.act = true, &act{sql: sql, args: args}
	return t.act
}

// once is a verb that is an act and nothing else.
func (d *db) once(ctx context.Context, sql string, args ...any) (done bool, err error) {
	a, err := update(ctx, d, func(t *tx) (*act, error) { return t.actBy(sql, args...), nil })
	return err == nil && a.done, err
}

func (d *db) begin(ctx context.Context) (*tx, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	t := &tx{db: d, ctx: ctx, conn: conn, batch: new(pgx.Batch)}
	t.batch.Queue("begin isolation level read committed")
	if d.database.Pooled() {
		for _, sql := range database.Settings(true) {
			t.batch.Queue(sql)
		}
	}
	return t, nil
}

// exec queues a statement that changes something.
func (t *tx) exec(sql string, args ...any) {
	t.writes = true
	t.batch.Queue(t.sql(sql), args...)
}

// tell queues that other processes are told of a change.
func (t *tx) tell(c storage.Change) {
	t.writes = true
	t.told = append(t.told, c)
}

// query queues a statement whose rows are handed to scan when it is sent. What it
// changes, as a placeholder does, is undone unless the verb writes something.
func (t *tx) query(scan func(pgx.Rows) error, sql string, args ...any) {
	t.batch.Queue(t.sql(sql), args...).Query(scan)
}

// lock queues the lock of what has no row yet, until the transaction ends.
func (t *tx) lock(id []byte) {
	t.batch.Queue(t.sql(`insert into {}locks (id, keep_until) values ($1, $2)
		on conflict (id) do update set keep_until = excluded.keep_until`), id, t.soon(time.Hour))
}

// soon returns the second of the database's clock that is so far away.
func (t *tx) soon(d time.Duration) int64 {
	return int64(record.Until(t.now().Add(d + t.clock.Offset())))
}

// send sends what is queued and hands out the answers.
func (t *tx) send() error { return t.sendIn(t.ctx) }

func (t *tx) sendIn(ctx context.Context) error {
	batch := t.batch
	t.batch = new(pgx.Batch)
	return t.conn.SendBatch(ctx, batch).Close()
}

// finish commits what was written. A commit whose answer got lost is looked up.
// It goes on when the caller gives up: half of an answer helps nobody.
func (t *tx) finish() error {
	if !t.writes {
		return nil
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), maxDuration)
	defer cancel()
	attempt := []byte(rand.Text())
	t.remember(attempt)
	if len(t.told) > 0 {
		if err := t.changes.Queue(t.exec, t.told, t.soon(changes.Retention)); err != nil {
			return err
		}
	}
	committed := false
	t.batch.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		committed = tag.String() == "COMMIT"
		return nil
	})
	err := t.sendIn(ctx)
	switch {
	case committed:
		return nil
	case err == nil:
		return errors.New("storage: the database rolled the transaction back")
	case violates(err, "connections_handle"):
		return errConnectionExists
	case !lost(err) && ctx.Err() == nil:
		return err
	}
	t.drop()
	done, answer, err := t.committed(ctx, attempt)
	switch {
	case err != nil:
		return &undecidedError{err}
	case !done:
		return errNotCommitted
	}
	if t.act != nil {
		t.act.done, t.act.answer = true, answer
	}
	return nil
}

// remember queues the row of the attempt. An act that does nothing leaves none.
func (t *tx) remember(attempt []byte) {
	keep := t.soon(attemptMemory)
	if t.act == nil {
		t.exec(`insert into {}attempts (id, done, keep_until) values ($1, true, $2)`, attempt, keep)
		return
	}
	a, n := t.act, len(t.act.args)
	t.query(func(rows pgx.Rows) error {
		for rows.Next() {
			a.done = true
			if err := rows.Scan(&a.answer); err != nil {
				return err
			}
		}
		return rows.Err()
	}, fmt.Sprintf(`with act as (%s) insert into {}attempts (id, done, keep_until, answer)
		select $%d::bytea, true, $%d::bigint, answer from act returning answer`, a.sql, n+1, n+2), append(slices.Clone(a.args), attempt, keep)...)
}

// committed reports whether an attempt was committed, and what its act returned. If
// it was not, it never will be: its ID is taken, for which this waits where the attempt
// still runs. It writes either way, so that a standby for which the attempt did not wait
// to the end, as when its session was ended, has it before anybody is told.
func (d *db) committed(ctx context.Context, attempt []byte) (done bool, answer []byte, err error) {
	err = d.retry(ctx, func(ctx context.Context) error {
		t, err := d.begin(ctx)
		if err != nil {
			return err
		}
		defer t.end()
		t.batch.Queue(t.sql(`insert into {}attempts as a (id, done, keep_until) values ($1, false, $2)
			on conflict (id) do update set keep_until = excluded.keep_until returning a.done, a.answer`), attempt, t.soon(attemptMemory)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&done, &answer) })
		t.batch.Queue("commit")
		return t.send()
	})
	return done, answer, err
}

// end gives the connection back, and undoes what was not committed.
func (t *tx) end() {
	if t.conn == nil {
		return
	}
	if status := t.conn.Conn().PgConn().TxStatus(); status != 'I' && !t.conn.Conn().IsClosed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Second)
		defer cancel()
		_, _ = t.conn.Exec(ctx, "rollback") // the pool closes a connection that is still in a transaction
	}
	t.conn.Release()
	t.conn = nil
}

// drop closes a connection of which nothing is known any more.
func (t *tx) drop() {
	_ = t.conn.Conn().Close(t.ctx)
	t.conn.Release()
	t.conn = nil
}

// violates reports whether a statement would have broken a rule of the schema.
func violates(err error, rule string) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.ConstraintName == rule
}

// isNetwork reports whether a connection failed under a statement.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// one returns a scan of at most one row, a body; nil when there is none.
func one(body *[]byte) func(pgx.Rows) error {
	*body = nil
	return func(rows pgx.Rows) error {
		for rows.Next() {
			if err := rows.Scan(body); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

// many returns a scan of any number of bodies.
func many(bodies *[][]byte) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		*bodies = nil // of the same question before
		for rows.Next() {
			var body []byte
			if err := rows.Scan(&body); err != nil {
				return err
			}
			*bodies = append(*bodies, body)
		}
		return rows.Err()
	}
}

// body is one for view.
func body(rows pgx.Rows) (b []byte, err error) {
	err = one(&b)(rows)
	return b, err
}

// bodies is many for view.
func bodies(rows pgx.Rows) (all [][]byte, err error) {
	err = many(&all)(rows)
	return all, err
}

// owned is a record's body, and that of the person whose it is, if any.
type owned struct{ body, person []byte }

// oneOwned is a scan for view of at most one of them.
func oneOwned(rows pgx.Rows) (o owned, err error) {
	for rows.Next() {
		if err := rows.Scan(&o.body, &o.person); err != nil {
			return o, err
		}
	}
	return o, rows.Err()
}

// manyOwned is a scan for view of any number of them.
func manyOwned(rows pgx.Rows) (all []owned, err error) {
	for rows.Next() {
		var o owned
		if err := rows.Scan(&o.body, &o.person); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, rows.Err()
}
