package caddymodule

import (
	"context"

	"github.com/caddyserver/caddy/v2"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

func init() { caddy.RegisterModule(new(PostgresStorage)) }

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

	parsed *pgstore.Config
}

// CaddyModule returns the Caddy module information.
func (*PostgresStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: storageNamespace + ".postgres", New: func() caddy.Module { return new(PostgresStorage) }}
}

// UnmarshalJSON names the field of what it cannot read.
func (s *PostgresStorage) UnmarshalJSON(data []byte) error {
	var c struct {
		Engine         string `json:"engine"`
		DSN            string `json:"dsn"`
		Schema         string `json:"schema"`
		MaxConnections *int   `json:"max_connections"`
	}
	err := config.Decode(data, &c)
	s.DSN, s.Schema, s.MaxConnections = c.DSN, c.Schema, c.MaxConnections
	return err
}

// resolve finds out which database it is.
func (s *PostgresStorage) resolve() error {
	options := pgstore.Options{MaxConnections: pgstore.DefaultMaxConnections}
	if s.MaxConnections != nil {
		if options.MaxConnections = *s.MaxConnections; options.MaxConnections < 1 {
			return config.Errorf("max_connections", "%d is too few; use 1 or more, or remove it for %d", options.MaxConnections, pgstore.DefaultMaxConnections)
		}
	}
	for _, value := range []struct {
		field, text string
		to          *string
	}{{"dsn", s.DSN, &options.DSN}, {"schema", s.Schema, &options.Schema}} {
		text, _, err := replacePlaceholders(value.text)
		if err != nil {
			return config.Errorf(value.field, "%v", err)
		}
		*value.to = text
	}
	var err error
	if s.parsed, err = pgstore.Parse(options); err != nil {
		return config.Errorf("dsn", "%v", err)
	}
	return nil
}

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

var _ storage.Opener = (*PostgresStorage)(nil)
