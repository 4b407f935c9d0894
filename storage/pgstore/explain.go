package pgstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

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

// errDSN does not quote the DSN: it has a password.
var errDSN = errors.New("cannot read the DSN; write one such as postgres://user:password@db.example.com/mcp_oauth?sslmode=verify-full, " +
	"with special characters in the password as %XX")
