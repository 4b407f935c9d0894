package database

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

const (
	// connectTimeout is how long one host has to take a connection, unless the DSN
	// says something else.
	connectTimeout = 5 * time.Second
	// statementTimeout is after how long the server ends a statement, or a transaction
	// that nobody goes on with: what was cut off must not keep rows locked.
	statementTimeout = 10 * time.Second
)

// Config says which database it is, and how it is reached.
type Config struct {
	// Pool is what the DSN says.
	Pool *pgxpool.Config
	// Renew, unless nil, returns the DSN as it is now: a password may have changed
	// since. One of another database is not used.
	Renew func() (string, error)
	// Still makes nobody look whether the database answers: for tests that decide
	// when each request arrives.
	Still bool
	// Warn, unless nil, is told what an operator should know, in words.
	Warn func(text string)
}

// Parse checks a DSN. It connects to nothing.
func Parse(dsn string) (*Config, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("the DSN is empty; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full")
	}
	pool, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, explainDSN(err)
	}
	if err := checkTLS(pool.ConnConfig); err != nil {
		return nil, err
	}
	// What is between may forget a connection that is idle.
	pool.ConnConfig.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	pool.MaxConnLifetime = time.Hour
	pool.MaxConnLifetimeJitter = 10 * time.Minute
	pool.MaxConnIdleTime = 5 * time.Minute
	// A connection that was lost is noticed by its use, which is tried again.
	pool.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	if pool.ConnConfig.ConnectTimeout == 0 {
		pool.ConnConfig.ConnectTimeout = connectTimeout
	}
	if pool.ConnConfig.RuntimeParams["application_name"] == "" {
		pool.ConnConfig.RuntimeParams["application_name"] = "caddy-mcp-oauth"
	}
	if pool.ConnConfig.ValidateConnect == nil {
		pool.ConnConfig.ValidateConnect = writable
	}
	return &Config{Pool: pool}, nil
}

// Current returns how to connect by what the DSN says now.
func (c *Config) Current() *pgx.ConnConfig {
	cc := c.Pool.ConnConfig.Copy()
	c.renew(cc)
	return cc
}

// renew takes over what may change in a DSN: password and certificates.
func (c *Config) renew(cc *pgx.ConnConfig) {
	if c.Renew == nil {
		return
	}
	dsn, err := c.Renew()
	if err != nil {
		return // what there was may still do
	}
	now, err := Parse(dsn)
	if err != nil || now.Name() != c.Name() {
		return
	}
	cc.Password, cc.TLSConfig, cc.Fallbacks = now.Pool.ConnConfig.Password, now.Pool.ConnConfig.TLSConfig, now.Pool.ConnConfig.Fallbacks
}

// explainDSN says what to do about a DSN that cannot be read. Its cause would
// quote it, with the password, but for what is wrong with files that it names.
func explainDSN(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		var path interface{ Timeout() bool } // *fs.PathError and *net.OpError
		if cause := errors.Unwrap(parse); errors.As(cause, &path) {
			return fmt.Errorf("cannot read a file that the DSN names (sslrootcert, sslcert, sslkey): %w", cause)
		}
	}
	return ErrDSN
}

// ErrDSN does not quote the DSN: it has a password.
var ErrDSN = errors.New("cannot read the DSN; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full, " +
	"with special characters in the password as %XX")

// Name tells the database from others, without the password: user, hosts and
// database.
func (c *Config) Name() string {
	cc := c.Pool.ConnConfig
	var hosts []string
	for _, w := range ways(cc) {
		if at := fmt.Sprintf("%s:%d", w.Host, w.Port); len(hosts) == 0 || hosts[len(hosts)-1] != at {
			hosts = append(hosts, at)
		}
	}
	return fmt.Sprintf("%s@%s/%s", cc.User, strings.Join(hosts, ","), cc.Database)
}

// ways are the hosts of a DSN, each perhaps with and without TLS.
func ways(c *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
}

// first makes one of the ways the one that is tried first.
func first(c *pgx.ConnConfig, index int) {
	all := ways(c)
	if index <= 0 || index >= len(all) {
		return
	}
	w := all[index]
	c.Host, c.Port, c.TLSConfig = w.Host, w.Port, w.TLSConfig
	c.Fallbacks = append(append([]*pgconn.FallbackConfig(nil), all[:index]...), all[index+1:]...)
}

// only makes one of the ways the only one.
func only(c *pgx.ConnConfig, index int) {
	first(c, index)
	c.Fallbacks = nil
}

// checkTLS refuses a way to the database on which somebody could read along, or
// be the database.
func checkTLS(c *pgx.ConnConfig) error {
	for _, w := range ways(c) {
		if local(w.Host) || w.TLSConfig != nil && !w.TLSConfig.InsecureSkipVerify {
			continue
		}
		return fmt.Errorf("the connection to %s could be read or taken over on its way; write sslmode=verify-full, "+
			"and sslrootcert=FILE if the certificate is not of a public authority", w.Host)
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

// writable refuses a replica, so that of several hosts the primary is found.
func writable(ctx context.Context, c *pgconn.PgConn) error {
	result := c.ExecParams(ctx, "show transaction_read_only", nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if len(result.Rows) == 1 && string(result.Rows[0][0]) == "on" {
		return ErrReadOnly
	}
	return nil
}

// ErrReadOnly is the answer of a replica.
var ErrReadOnly = errors.New("the database is a read-only replica; name the primary, or all hosts, separated by commas: the one that can be written to is found")
