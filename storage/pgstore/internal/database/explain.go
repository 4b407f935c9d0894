package database

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Explain says what to do about an error of connecting, or of the first statements
// in a schema. Nothing in it is secret.
func (c *Config) Explain(err error, schema string) error {
	cc := c.Pool.ConnConfig
	if errors.Is(err, ErrReadOnly) {
		return ErrReadOnly
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return c.explainAnswer(answer, schema, err)
	}
	var file *fs.PathError
	switch {
	case isCertificate(err):
		return fmt.Errorf("the certificate of %s is not trusted; name the authority with sslrootcert=FILE, and the host as in the certificate: %w", cc.Host, err)
	case strings.Contains(err.Error(), "server refused TLS connection"): // pgconn has no name for it
		return fmt.Errorf("the database at %s port %d offers no TLS; set ssl = on there, with a certificate for that host: %w", cc.Host, cc.Port, err)
	case errors.As(err, &file):
		return err
	case isUnreachable(err):
		return fmt.Errorf("cannot reach the database at %s; check host and port in the DSN, and that it runs and listens there: %w", c.hosts(), err)
	}
	return err
}

func (c *Config) explainAnswer(answer *pgconn.PgError, schema string, err error) error {
	cc := c.Pool.ConnConfig
	switch answer.Code {
	case "28P01", "28000":
		what := "user and password in the DSN, and pg_hba.conf"
		if strings.Contains(answer.Message, "certificate") {
			what = "sslcert and sslkey in the DSN, and pg_hba.conf"
		}
		return fmt.Errorf("the database refused user %q; check %s: %w", cc.User, what, answer)
	case "3D000":
		return fmt.Errorf("there is no database %q; create it: CREATE DATABASE %s: %w", cc.Database, cc.Database, answer)
	case "42501":
		return fmt.Errorf("user %q may not make or use schema %q; as its owner: CREATE SCHEMA %s AUTHORIZATION %s, "+
			"or, if it is there, ALTER SCHEMA and ALTER TABLE … OWNER TO %s: %w", cc.User, schema, schema, cc.User, cc.User, answer)
	case "42703", "42P07", "42P16": // column missing, table there already
		return fmt.Errorf("schema %q has tables that are not of this program; name another one with schema: %w", schema, answer)
	case "42704", "22023": // a parameter that the database does not know, or with a value that it does not take
		return fmt.Errorf("the DSN has a parameter that the database does not take; correct or remove it (the schema is the option schema of storage postgres): %w", answer)
	case "53300":
		return fmt.Errorf("the database has no connection left; lower max_connections here, or raise the database's: %w", answer)
	case "25006":
		return ErrReadOnly
	case "53100":
		return fmt.Errorf("the disk of the database is full; make room there: %w", answer)
	case "08P01":
		if strings.Contains(answer.Message, "statement pool") {
			return fmt.Errorf("the pooler in front of the database has no transactions; set pool_mode = transaction there: %w", answer)
		}
	}
	return err
}

func (c *Config) hosts() string {
	var hosts []string
	for _, w := range ways(c.Pool.ConnConfig) {
		if at := fmt.Sprintf("%s port %d", w.Host, w.Port); !slices.Contains(hosts, at) {
			hosts = append(hosts, at)
		}
	}
	return strings.Join(hosts, ", ")
}

func isCertificate(err error) bool {
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var verification *tls.CertificateVerificationError
	return errors.As(err, &unknown) || errors.As(err, &hostname) || errors.As(err, &verification)
}

// isAnswer reports whether a database said no.
func isAnswer(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer)
}

func isUnreachable(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect)
}
