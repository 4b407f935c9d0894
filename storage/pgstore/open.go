package pgstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
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
	// ListenDSN is a connection string to the same database, on which notifications
	// arrive: one past a pooler. Default: DSN.
	ListenDSN string
	// Observe, unless nil, is told of each verb.
	Observe storage.Observer
}

// Config is what Options come to.
type Config struct {
	pool    *pgxpool.Config
	listen  *pgx.ConnConfig
	schema  string
	observe storage.Observer
	now     func() time.Time
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
	c := &Config{pool: pool, schema: o.Schema, observe: o.Observe, now: time.Now}
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
	c.listen = pool.ConnConfig
	if o.ListenDSN != "" {
		if c.listen, err = pgx.ParseConfig(o.ListenDSN); err != nil {
			return nil, errListenDSN // likewise
		}
		if err := checkTLS(c.listen); err != nil {
			return nil, err
		}
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
	d := &db{pool: pool, schema: pgx.Identifier{c.schema}.Sanitize() + ".", observe: c.observe, now: c.now}
	err = d.retry(ctx, func(context.Context) error { return d.migrate(ctx, c.schema) })
	if err == nil {
		err = d.measure(ctx)
	}
	if err == nil {
		err = d.watch(ctx, c)
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

var errReadOnly = errors.New("the database is a read-only replica; name the primary, or all hosts, separated by commas: the one that can be written to is found")

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
	cc := c.pool.ConnConfig
	var newer errNewerSchema
	switch {
	case errors.As(err, &newer):
		return newer
	case errors.Is(err, errReadOnly):
		return errReadOnly
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		switch answer.Code {
		case "28P01", "28000":
			return fmt.Errorf("the database refused user %q; check user and password in the DSN, and pg_hba.conf: %w", cc.User, answer)
		case "3D000":
			return fmt.Errorf("there is no database %q; create it: CREATE DATABASE %s: %w", cc.Database, cc.Database, answer)
		case "42501":
			return fmt.Errorf("user %q may not make or use schema %q; as its owner: CREATE SCHEMA %s AUTHORIZATION %s: %w", cc.User, c.schema, c.schema, cc.User, answer)
		case "53300":
			return fmt.Errorf("the database has no connection left; lower max_connections here, or raise the database's: %w", answer)
		case "25006":
			return errReadOnly
		}
		return err
	}
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var verification *tls.CertificateVerificationError
	if errors.As(err, &unknown) || errors.As(err, &hostname) || errors.As(err, &verification) {
		return fmt.Errorf("the certificate of %s is not trusted; name the authority with sslrootcert=FILE, and the host as in the certificate: %w", cc.Host, err)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &network) || errors.As(err, &connect) {
		return fmt.Errorf("cannot reach the database at %s port %d; check host and port in the DSN, and that it runs and listens there: %w", cc.Host, cc.Port, err)
	}
	return err
}

var errListenDSN = errors.New("cannot read listen_dsn; write it as dsn, with the host and port of the database itself")

// errDSN does not quote the DSN: it has a password.
var errDSN = errors.New("cannot read the DSN; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full, " +
	"with special characters in the password as %XX")
