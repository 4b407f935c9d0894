package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/record"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/changes"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
)

// Defaults of Options.
const (
	DefaultSchema         = "mcp_oauth"
	DefaultMaxConnections = 16
	DefaultStaleFor       = 30 * time.Second
)

// Options tell which database it is.
type Options struct {
	// DSN is a connection string of libpq, a URL or keywords. Over a network it
	// must say sslmode=verify-full.
	DSN string
	// Renew, unless nil, returns the DSN as it is by now, for new connections. Its
	// password and certificates may be others.
	Renew func() (string, error)
	// Schema that the tables are in. It is made if it is not there. Default:
	// DefaultSchema.
	Schema string
	// MaxConnections bounds the connections of this process. Default:
	// DefaultMaxConnections.
	MaxConnections int
	// ListenDSN is a connection string to the same database, on which notifications
	// arrive: one past a pooler. Default: DSN.
	ListenDSN string
	// RenewListen is Renew for ListenDSN.
	RenewListen func() (string, error)
	// StaleFor is for how long what was read goes on while the database cannot be
	// reached; zero for not at all.
	StaleFor time.Duration
	// Observe, unless nil, is told of each verb.
	Observe storage.Observer
	// Warn, unless nil, is told what an operator should know, in words.
	Warn func(text string)
}

// Config is what Options come to.
type Config struct {
	database *database.Config
	pool     *pgxpool.Config // of database
	listen   *database.Config
	schema   string
	staleFor time.Duration
	observe  storage.Observer
	now      func() time.Time
}

// Parse checks options. It connects to nothing.
func Parse(o Options) (*Config, error) {
	parsed, err := database.Parse(o.DSN)
	if err != nil {
		return nil, err
	}
	parsed.Renew, parsed.Warn = o.Renew, o.Warn
	c := &Config{database: parsed, pool: parsed.Pool, schema: o.Schema, staleFor: o.StaleFor, observe: o.Observe, now: time.Now}
	if c.schema == "" {
		c.schema = DefaultSchema
	}
	switch {
	case o.MaxConnections < 0:
		return nil, errors.New("max_connections must not be negative")
	case o.MaxConnections > 0:
		c.pool.MaxConns = int32(min(o.MaxConnections, 10_000))
	default:
		c.pool.MaxConns = DefaultMaxConnections
	}
	c.listen = parsed
	if o.ListenDSN != "" {
		listen, err := database.Parse(o.ListenDSN)
		switch {
		case errors.Is(err, database.ErrDSN):
			return nil, &ListenError{errListenDSN}
		case err != nil:
			return nil, &ListenError{err}
		}
		listen.Renew = o.RenewListen
		c.listen = listen
	}
	return c, nil
}

// Key tells the database from others, without the password: users, hosts,
// database and schema.
func (c *Config) Key() string { return c.database.Name() + " schema " + c.schema }

// Open connects, and brings the schema up to date. The store outlives ctx.
func Open(ctx context.Context, c *Config) (*Store, error) {
	d := &db{schema: pgx.Identifier{c.schema}.Sanitize() + ".", staleFor: c.staleFor, observe: c.observe, now: c.now, clock: database.Clock{Warn: c.database.Warn}}
	var err error
	if d.database, err = database.Open(ctx, c.database, d.reach.changed); err != nil {
		return nil, explain(err, c)
	}
	d.pool = d.database.Pool
	err = d.retry(ctx, func(context.Context) error { return d.migrate(ctx, c.schema) })
	if err == nil {
		err = d.measure(ctx)
	}
	if err == nil {
		err = checkTables(ctx, d, c.schema)
	}
	if err == nil {
		err = d.watch(ctx, c)
	}
	if err != nil {
		d.database.Close()
		return nil, explain(err, c)
	}
	if c.database.Warn != nil {
		if broken, err := d.database.Promises(ctx); err == nil { // one that cannot say keeps its own
			for _, text := range broken {
				c.database.Warn(text)
			}
		}
	}
	return newStore(d), nil
}

// watch lets other processes be told of what verbs change.
func (d *db) watch(ctx context.Context, c *Config) (err error) {
	d.changes, err = changes.New(ctx, changes.Database{
		Query: func(ctx context.Context, scan func(pgx.Rows) error, sql string, args ...any) error {
			_, err := view(ctx, d, func(rows pgx.Rows) (struct{}, error) { return struct{}{}, scan(rows) }, sql, args...)
			return err
		},
		Tell: func(ctx context.Context, told storage.Change) error {
			return change(ctx, d, func(t *tx) error { t.tell(told); return nil })
		},
		Soon:   func(in time.Duration) int64 { return int64(record.Until(d.now().Add(in + d.clock.Offset()))) },
		Listen: c.listen.Current, Schema: c.schema,
	})
	return err
}

// reach tells one who asked whether the database can be reached.
type reach struct {
	mu    sync.Mutex
	told  func(cause error, lasted time.Duration)
	cause error
}

func (r *reach) changed(cause error, lasted time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause = cause; r.told != nil {
		r.told(cause, lasted)
	}
}

// OnReach implements storage.RemoteStore.
func (s *Store) OnReach(told func(cause error, lasted time.Duration)) {
	r := &s.db.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told = told; r.cause != nil {
		told(r.cause, 0)
	}
}

var _ storage.RemoteStore = (*Store)(nil)

// unreachable is the error of a verb that nobody answers.
func unreachable(d *db, cause error) error {
	return &storage.UnreachableError{StaleFor: d.staleFor, Cause: cause}
}

// schemaUse knows whether a schema that is open is still this program's.
type schemaUse struct{ ended atomic.Bool }

// usableFrom notes from which version on programs can use the schema by now.
func (u *schemaUse) usableFrom(version int) error {
	u.ended.Store(version > len(migrations))
	return u.allowed()
}

func (u *schemaUse) allowed() error {
	if u.ended.Load() {
		return errNotOurs
	}
	return nil
}

// errNotOurs: a schema that was open was moved, or migrated further.
var errNotOurs = errors.New("the schema must not be used by this program any more: its records were moved, or a newer program has changed it; start Caddy again, which says where they are")

// errNewerSchema: a newer program has changed the schema.
type errNewerSchema struct {
	schema  string
	version int
}

func (e errNewerSchema) Error() string {
	return fmt.Sprintf("schema %q has version %d, and this program knows up to %d; run the newer program, or restore a backup from before it ran",
		e.schema, e.version, len(migrations))
}

// explain says what to do about an error of opening. Nothing in it is secret.
func explain(err error, c *Config) error {
	var newer errNewerSchema
	var half errHalfSchema
	switch {
	case errors.As(err, &newer):
		return newer
	case errors.As(err, &half):
		return half
	}
	return c.database.Explain(err, c.schema)
}

// ListenError is what is wrong with Options.ListenDSN, and with nothing else.
type ListenError struct{ error }

func (e *ListenError) Unwrap() error { return e.error }

var errListenDSN = errors.New("cannot read it; write it as dsn, with the host and port of the database itself")
