package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/placeholders"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

// PostgresStorage keeps everything in a PostgreSQL database, which any number of
// Caddys can share. They need the same encryption_key and the same sites.
type PostgresStorage struct {
	// DSN says where the database is, and who connects to it: a URL such as
	// `postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full`, or
	// keywords such as `host=/run/postgresql user=caddy dbname=mcp_oauth`. It may
	// name several hosts: the one that can be written to is used. Over a network it
	// must say `sslmode=verify-full`. Keep the password out of the configuration
	// with a placeholder, `{env.DSN}` for all of it.
	DSN string `json:"dsn"`
	// Schema that the tables are in. It is made if it is not there. Default:
	// `mcp_oauth`.
	Schema string `json:"schema,omitempty"`
	// MaxConnections of this Caddy to the database. Default: 16.
	MaxConnections *int `json:"max_connections,omitempty"`
	// ListenDSN is the same database, past a pooler that pools transactions: on this
	// connection other Caddys tell at once of what they changed, which a pooler does
	// not pass on. Default: DSN.
	ListenDSN string `json:"listen_dsn,omitempty"`
	// StaleFor is for how long calls and open streams go on while the database
	// cannot be reached, counted from when it last confirmed their tokens and
	// accounts; then they are answered 503, as sign-ins are at once. 0 switches it
	// off. Default: 30s.
	StaleFor *config.Duration `json:"stale_for,omitempty"`

	parsed   *pgstore.Config
	resolved string // all of the settings
}

// CaddyModule returns the Caddy module information.
func (*PostgresStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: storageNamespace + ".postgres", New: func() caddy.Module { return new(PostgresStorage) }}
}

// UnmarshalJSON names the field of what it cannot read.
func (s *PostgresStorage) UnmarshalJSON(data []byte) error {
	var c struct {
		Engine         string           `json:"engine"`
		DSN            string           `json:"dsn"`
		Schema         string           `json:"schema"`
		MaxConnections *int             `json:"max_connections"`
		ListenDSN      string           `json:"listen_dsn"`
		StaleFor       *config.Duration `json:"stale_for"`
	}
	err := config.Decode(data, &c)
	s.DSN, s.Schema, s.MaxConnections, s.ListenDSN, s.StaleFor = c.DSN, c.Schema, c.MaxConnections, c.ListenDSN, c.StaleFor
	return err
}

// resolve finds out which database it is.
func (s *PostgresStorage) resolve() error {
	options := pgstore.Options{MaxConnections: pgstore.DefaultMaxConnections, StaleFor: pgstore.DefaultStaleFor}
	if s.StaleFor != nil {
		if options.StaleFor = time.Duration(*s.StaleFor); options.StaleFor < 0 || options.StaleFor > maxStaleFor {
			return config.Errorf("stale_for", "%v is not from 0s to %v; remove it for %v", options.StaleFor, maxStaleFor, pgstore.DefaultStaleFor)
		}
	}
	if s.MaxConnections != nil {
		if options.MaxConnections = *s.MaxConnections; options.MaxConnections < 1 {
			return config.Errorf("max_connections", "%d is too few; use 1 or more, or remove it for %d", options.MaxConnections, pgstore.DefaultMaxConnections)
		}
	}
	for _, value := range []struct {
		field, text string
		to          *string
	}{{"dsn", s.DSN, &options.DSN}, {"schema", s.Schema, &options.Schema}, {"listen_dsn", s.ListenDSN, &options.ListenDSN}} {
		text, _, err := placeholders.Replace(value.text)
		if err != nil {
			return config.Errorf(value.field, "%v", err)
		}
		*value.to = text
	}
	s.resolved = fmt.Sprintf("%+v", options)
	options.Observe, options.Warn = counts.ObserveStore, func(text string) { caddy.Log().Named(appName).Warn(text) }
	again := func(text string) func() (string, error) { // a file has another password by now
		return func() (string, error) {
			dsn, _, err := placeholders.Replace(text)
			return dsn, err
		}
	}
	options.Renew, options.RenewListen = again(s.DSN), again(s.ListenDSN)
	var err error
	s.parsed, err = pgstore.Parse(options)
	var listen *pgstore.ListenError
	switch {
	case errors.As(err, &listen):
		return config.Errorf("listen_dsn", "%v", err)
	case err != nil:
		return config.Errorf("dsn", "%v", err)
	}
	return nil
}

// maxStaleFor is what revoked elsewhere can go on for at most.
const maxStaleFor = time.Hour

// settings tells the same database with other settings, such as a new password.
func (s *PostgresStorage) settings() string { return s.resolved }

// Key implements storage.Opener.
func (s *PostgresStorage) Key() string { return s.parsed.Key() }

// Durable implements storage.Opener.
func (*PostgresStorage) Durable() bool { return true }

// Open implements storage.Opener.
func (s *PostgresStorage) Open(ctx context.Context) (storage.Store, error) {
	store, err := pgstore.Open(ctx, s.parsed)
	if err != nil {
		return nil, err // not a nil store in an interface
	}
	return store, nil
}

func (s *PostgresStorage) movePlace() move.Place { return pgstore.MovePlace{Config: s.parsed} }

var _ storage.Opener = (*PostgresStorage)(nil)
