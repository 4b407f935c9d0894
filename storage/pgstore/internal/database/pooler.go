package database

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// A pooler such as PgBouncer answers a new connection with a key of its own in the
// place of the process that serves it. Whether it keeps that process for a
// connection cannot be seen for sure: so behind a pooler nothing is kept on a
// connection that outlives a transaction, be it a prepared statement, a setting or
// a LISTEN.

// Pooled reports whether there is a pooler in front of the database.
func (d *Database) Pooled() bool { return d.pooled.Load() }

func (d *Database) setPooled(pooled bool) {
	if d.pooled.Swap(pooled) != pooled && pooled && d.config.Warn != nil {
		d.config.Warn("there is a pooler such as PgBouncer in front of the database: nothing is kept on a connection, and what other instances change is looked for every five seconds; connect to the database itself to be told at once")
	}
}

// withoutSession makes a connection send each statement with all that it needs.
func withoutSession(cc *pgx.ConnConfig) {
	cc.DefaultQueryExecMode = pgx.QueryExecModeExec
	cc.StatementCacheCapacity, cc.DescriptionCacheCapacity = 0, 0
}

// backend returns the number of the process that serves a connection.
func backend(ctx context.Context, c *pgx.Conn) (uint32, error) {
	var pid int64
	err := c.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeExec).Scan(&pid)
	return uint32(pid), err
}

// ErrPooled: a pooler has come between, and this connection cannot go through it.
var ErrPooled = errors.New("a pooler is in front of the database by now; the connection is made again")

// Settings are the statements that make a session, or the transaction that they
// are in, keep what a store promises, whatever the defaults of the role are: they
// bound what hangs, and make a commit wait for the disk, and for the standby if there is one.
func Settings(local bool) []string {
	scope := strconv.FormatBool(local)
	timeout := strconv.FormatInt(statementTimeout.Milliseconds(), 10)
	return []string{
		`select set_config('synchronous_commit', 'on', ` + scope + `) where current_setting('synchronous_commit', true) in ('off', 'local')`,
		`select set_config('idle_in_transaction_session_timeout', '` + timeout + `', ` + scope + `), set_config('statement_timeout', '` + timeout + `', ` + scope + `)`,
	}
}

// Prepare sets Settings for a session.
func Prepare(ctx context.Context, c *pgx.Conn) error {
	batch := new(pgx.Batch)
	for _, sql := range Settings(false) {
		batch.Queue(sql)
	}
	return c.SendBatch(ctx, batch).Close()
}

// afterConnect looks for a pooler, and prepares the session if there is none.
func (d *Database) afterConnect(ctx context.Context, c *pgx.Conn) error {
	pid, err := backend(ctx, c)
	if err != nil {
		return err
	}
	pooled := pid != c.PgConn().PID()
	d.setPooled(pooled)
	if !pooled {
		return Prepare(ctx, c)
	}
	if c.Config().DefaultQueryExecMode != pgx.QueryExecModeExec {
		return ErrPooled
	}
	return nil
}
