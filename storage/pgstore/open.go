package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Defaults of Options.
const (
	DefaultSchema         = "mcp_oauth"
	DefaultMaxConnections = 16
)

// Options tell which database it is.
type Options struct {
	// DSN is a connection string of libpq, a URL or keywords. Over a network it
	// must say sslmode=verify-full.
	DSN string
	// Schema that the tables are in. It is made if it is not there. Default:
	// DefaultSchema.
	Schema string
	// MaxConnections bounds the connections of this process. Default:
	// DefaultMaxConnections.
	MaxConnections int
}

// Config is what Options come to.
type Config struct {
	pool   *pgxpool.Config
	schema string
}

// Parse checks options. It connects to nothing.
func Parse(o Options) (*Config, error) {
	if strings.TrimSpace(o.DSN) == "" {
		return nil, errors.New("the DSN is empty; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full")
	}
	pool, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return nil, errDSN // the cause would quote it
	}
	if err := checkTLS(pool.ConnConfig); err != nil {
		return nil, err
	}
	c := &Config{pool: pool, schema: o.Schema}
	if c.schema == "" {
		c.schema = DefaultSchema
	}
	switch {
	case o.MaxConnections < 0:
		return nil, errors.New("max_connections must not be negative")
	case o.MaxConnections > 0:
		pool.MaxConns = int32(min(o.MaxConnections, 10_000))
	default:
		pool.MaxConns = DefaultMaxConnections
	}
	pool.MaxConnLifetime = time.Hour
	pool.MaxConnLifetimeJitter = 10 * time.Minute
	pool.MaxConnIdleTime = 5 * time.Minute
	// A connection that was lost is noticed by its use, which is tried again.
	pool.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	pool.AfterConnect = prepare
	if pool.ConnConfig.ConnectTimeout == 0 {
		pool.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if pool.ConnConfig.RuntimeParams["application_name"] == "" {
		pool.ConnConfig.RuntimeParams["application_name"] = "caddy-mcp-oauth"
	}
	if pool.ConnConfig.ValidateConnect == nil {
		pool.ConnConfig.ValidateConnect = writable
	}
	return c, nil
}

// Key tells the database from others, without the password: users, hosts,
// database and schema.
func (c *Config) Key() string {
	cc := c.pool.ConnConfig
	var hosts []string
	for i := range len(cc.Fallbacks) + 1 {
		host, port := cc.Host, cc.Port
		if i > 0 {
			host, port = cc.Fallbacks[i-1].Host, cc.Fallbacks[i-1].Port
		}
		if at := fmt.Sprintf("%s:%d", host, port); len(hosts) == 0 || hosts[len(hosts)-1] != at {
			hosts = append(hosts, at)
		}
	}
	return fmt.Sprintf("%s@%s/%s schema %s", cc.User, strings.Join(hosts, ","), cc.Database, c.schema)
}

// Open connects, and brings the schema up to date. The store outlives ctx.
func Open(ctx context.Context, c *Config) (*Store, error) {
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), c.pool.Copy())
	if err != nil {
		return nil, explain(err, c)
	}
	d := &db{pool: pool, schema: pgx.Identifier{c.schema}.Sanitize() + "."}
	err = d.retry(ctx, func(ctx context.Context) error { return d.migrate(ctx, c.schema) })
	if err == nil {
		err = d.measure(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, explain(err, c)
	}
	return newStore(d), nil
}

// checkTLS refuses a way to the database on which somebody could read along, or
// be the database.
func checkTLS(c *pgx.ConnConfig) error {
	ways := []*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}
	for _, way := range append(ways, c.Fallbacks...) {
		if local(way.Host) || way.TLSConfig != nil && !way.TLSConfig.InsecureSkipVerify {
			continue
		}
		return fmt.Errorf("the connection to %s could be read or taken over on its way; write sslmode=verify-full, "+
			"and sslrootcert=FILE if the certificate is not of a public authority", way.Host)
	}
	return nil
}

// local reports whether a host is a socket or loopback.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// prepare makes a new connection keep what the contract promises, whatever the
// defaults of the role are, and bounds what one that was cut off holds locked.
func prepare(ctx context.Context, c *pgx.Conn) error {
	batch := new(pgx.Batch)
	for _, sql := range []string{
		`select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit', true) = 'off'`,
		fmt.Sprintf(`select set_config('idle_in_transaction_session_timeout', '%d', false)`, maxDuration.Milliseconds()),
		fmt.Sprintf(`select set_config('statement_timeout', '%d', false)`, maxDuration.Milliseconds()),
	} {
		batch.Queue(sql)
	}
	return c.SendBatch(ctx, batch).Close()
}

// writable refuses a replica, so that of several hosts the primary is found.
func writable(ctx context.Context, c *pgconn.PgConn) error {
	result := c.ExecParams(ctx, "show transaction_read_only", nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if len(result.Rows) == 1 && string(result.Rows[0][0]) == "on" {
		return errReadOnly
	}
	return nil
}
