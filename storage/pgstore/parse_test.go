package pgstore

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/database"
)

// Over a network the database proves who it is.
func TestParse(t *testing.T) {
	const network, local = "postgres://u:canary@db.example.com/d", "postgres://u:canary@127.0.0.1/d"
	for dsn, want := range map[string]string{
		network + "?sslmode=verify-full":                   "u@db.example.com:5432/d schema mcp_oauth",
		network:                                            "write sslmode=verify-full",
		network + "?sslmode=disable":                       "write sslmode=verify-full",
		network + "?sslmode=require":                       "write sslmode=verify-full",
		network + "?sslmode=verify-ca":                     "write sslmode=verify-full",
		local:                                              "u@127.0.0.1:5432/d schema mcp_oauth",
		"postgres://u:canary@localhost:1/d":                "u@localhost:1/d schema mcp_oauth",
		"postgres://u@[::1]/d":                             "u@::1:5432/d schema mcp_oauth",
		"host=/run/postgresql user=u dbname=d":             "u@/run/postgresql:5432/d schema mcp_oauth",
		"host=a.example,b.example user=u dbname=d":         "write sslmode=verify-full",
		"host=/run/postgresql,b.example user=u dbname=d":   "write sslmode=verify-full",
		"host=a.example,b.example user=u sslmode=disable":  "the connection to a.example could be read",
		"host=a.x,b.x user=u dbname=d sslmode=verify-full": "u@a.x:5432,b.x:5432/d schema mcp_oauth",
		"":                          "the DSN is empty",
		"postgres://u:can ary@db/d": "cannot read the DSN",
		"canary":                    "cannot read the DSN",
	} {
		c, err := Parse(Options{DSN: dsn})
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = c.Key()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "canary") || err == nil && got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", dsn, got, want)
		}
	}
	if c, err := Parse(Options{DSN: local, Schema: "other", MaxConnections: 3}); err != nil || c.pool.MaxConns != 3 || !strings.HasSuffix(c.Key(), " schema other") {
		t.Errorf("%+v, %v", c, err)
	}
}

// What was not done may be tried again; what may have been done is not, and nor is what
// will fail again.
func TestTransient(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{errNotCommitted, true}, {fmt.Errorf("connecting: %w", database.ErrPooled), true}, {io.ErrUnexpectedEOF, true},
		{&pgconn.PgError{Code: "40003"}, true}, {&pgconn.PgError{Code: "57014"}, false}, {errNotOurs, false},
		{&undecidedError{&storage.UnreachableError{Cause: io.ErrUnexpectedEOF}}, false}, {&undecidedError{&pgconn.PgError{Code: "40001"}}, false},
	} {
		if got := transient(tt.err); got != tt.want {
			t.Errorf("%v: transient %t, want %t", tt.err, got, tt.want)
		}
	}
}
