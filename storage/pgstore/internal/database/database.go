package database

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// probeTimeout is how long a host has to answer a probe, at least: one that is far
	// away has as long as it usually takes, several times.
	probeTimeout = time.Second
	usualTimes   = 4
	// longestProbe bounds that: people wait meanwhile, and a probe that took long once,
	// as on a machine that was busy, says nothing of the next.
	longestProbe = 3 * time.Second
)

// Database is a database that is open.
type Database struct {
	*pgxpool.Pool
	*Monitor
	config *Config
	// usual is how long the last probe took that found the database, and at which of
	// the ways.
	usual atomic.Int64
	at    atomic.Int32
	// pooled tells that the last connection went through a pooler.
	pooled atomic.Bool
	writes writes
}

// Open finds the database, and returns a pool of connections to it, which outlives
// ctx. changed is told when it is away, and with nil when it is back.
func Open(ctx context.Context, c *Config, changed func(cause error, lasted time.Duration)) (*Database, error) {
	d := &Database{config: c}
	own := c.Pool.Copy()
	if c.Still {
		pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), own)
		d.Pool, d.Monitor = pool, &Monitor{close: func() {}}
		return d, err
	}
	if err := d.find(ctx, c.Pool.ConnConfig.ConnectTimeout); err != nil {
		return nil, err
	}
	d.Monitor = newMonitor(d.probeAll, own.ConnConfig.DialFunc, func(cause error, lasted time.Duration) {
		if cause != nil {
			d.Pool.Reset() // none of them is good for anything
		}
		changed(cause, lasted)
	})
	own.ConnConfig.DialFunc = d.Monitor.Dial
	own.BeforeConnect = d.beforeConnect
	own.AfterConnect = d.afterConnect
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), own)
	if err != nil {
		d.Monitor.end()
		return nil, err
	}
	d.Pool = pool
	return d, nil
}

// Close closes all connections. Who has one is waited for.
func (d *Database) Close() {
	d.Pool.Close()
	d.Monitor.end()
}

// Connect makes a connection that is not of the pool, for who keeps it. It is
// closed when the database is away.
func (d *Database) Connect(ctx context.Context) (*pgx.Conn, error) {
	cc := d.config.Pool.ConnConfig.Copy()
	cc.DialFunc = d.Monitor.Dial
	if err := d.beforeConnect(ctx, cc); err != nil {
		return nil, err
	}
	c, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, err
	}
	if err := d.afterConnect(ctx, c); err != nil {
		_ = c.Close(ctx)
		return nil, err
	}
	return c, nil
}

// beforeConnect makes a connection begin with the host that was found, with what
// the DSN says by now, and in the way that a pooler can take.
func (d *Database) beforeConnect(_ context.Context, cc *pgx.ConnConfig) error {
	d.config.renew(cc)
	first(cc, int(d.at.Load()))
	if d.pooled.Load() {
		withoutSession(cc)
	}
	return nil
}

// Unwatched makes a connection that may wait for as long as it takes, as for a
// migration that another process makes. done closes it.
func (d *Database) Unwatched(ctx context.Context) (c *pgx.Conn, done func(), err error) {
	if d.config.Still {
		pooled, err := d.Pool.Acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		return pooled.Conn(), pooled.Release, nil
	}
	cc := d.config.Pool.ConnConfig.Copy()
	if err := d.beforeConnect(ctx, cc); err != nil {
		return nil, nil, err
	}
	withoutSession(cc)
	if c, err = pgx.ConnectConfig(ctx, cc); err != nil {
		return nil, nil, err
	}
	return c, func() { _ = c.Close(ctx) }, nil
}

func (d *Database) probeAll(ctx context.Context) error {
	if err := d.find(ctx, d.probeWithin()); err != nil {
		return d.config.Explain(err, "")
	}
	return nil
}

// probeWithin is how long a probe has.
func (d *Database) probeWithin() time.Duration {
	return min(max(probeTimeout, usualTimes*time.Duration(d.usual.Load())), longestProbe)
}

// find asks all hosts at once, each with a connection of its own, and notes which
// can be written to.
func (d *Database) find(ctx context.Context, within time.Duration) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	n := len(ways(d.config.Pool.ConnConfig))
	type answer struct {
		index int
		err   error
	}
	answers := make(chan answer, n)
	for i := range n {
		go func() { answers <- answer{i, d.ask(ctx, i)} }()
	}
	failures := make([]error, n)
	best := -1
	for range n {
		a := <-answers
		if failures[a.index] = a.err; a.err == nil && (best < 0 || a.index < best) {
			best = a.index
			cancel()
		}
	}
	if best < 0 {
		return mostTelling(failures)
	}
	d.at.Store(int32(best))
	d.usual.Store(int64(time.Since(began)))
	return nil
}

// ask connects in one of the ways, which says whether it can be written to.
func (d *Database) ask(ctx context.Context, index int) error {
	cc := d.config.Current()
	only(cc, index)
	withoutSession(cc)
	c, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return err
	}
	pid, err := backend(ctx, c)
	if err == nil {
		d.setPooled(pid != c.PgConn().PID())
	}
	return errors.Join(err, c.Close(ctx))
}

// mostTelling returns of the failures of hosts one from which most can be learnt.
func mostTelling(failures []error) error {
	for _, telling := range []func(error) bool{isAnswer, isCertificate, func(err error) bool { return errors.Is(err, ErrReadOnly) }} {
		for _, err := range failures {
			if telling(err) {
				return err
			}
		}
	}
	return errors.Join(failures...)
}
