//go:build postgres

package pgtest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ask(dsn string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(ctx, "select 1")
	return err
}

// Over TCP a server that wants TLS takes nothing else, proves its name, and knows
// the clients of its authority.
func TestTLS(t *testing.T) {
	s := For(t, Options{
		Addresses: []string{"127.0.0.1"}, TLS: true,
		HBA: []string{"hostssl all postgres all trust", "hostssl all visitor all cert"},
	})
	do(t, s.Exec("create role visitor login"))
	do(t, ask(s.TCP("postgres"), time.Minute))
	certificate, key, err := s.Authority().Issue("visitor")
	do(t, err)
	dir := t.TempDir()
	do(t, os.WriteFile(dir+"/c", certificate, 0o600))
	do(t, os.WriteFile(dir+"/k", key, 0o600))
	do(t, ask(s.TCP("visitor")+" sslcert="+dir+"/c sslkey="+dir+"/k", time.Minute))
	for name, dsn := range map[string]string{
		"without a certificate": s.TCP("visitor"),
		"without TLS":           strings.Replace(s.TCP("postgres"), "verify-full", "disable", 1),
	} {
		if err := ask(dsn, time.Minute); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

// A paused server hangs, goes on, and comes back with what it had when it was killed.
func TestPauseAndKill(t *testing.T) {
	s := For(t, Options{Addresses: []string{"127.0.0.1"}})
	do(t, s.Exec("create table kept (n int); insert into kept values (7)"))
	do(t, s.Pause())
	err := ask(s.TCP("postgres"), 100*time.Millisecond)
	if network := net.Error(nil); !errors.As(err, &network) || !network.Timeout() {
		t.Errorf("paused: %v, want a timeout", err)
	}
	do(t, s.Continue())
	do(t, ask(s.TCP("postgres"), time.Minute))
	do(t, s.Kill())
	if err := ask(s.TCP("postgres"), time.Second); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("killed: %v, want refused", err)
	}
	do(t, s.Run())
	if n, err := s.Text("select n::text from kept"); n != "7" || err != nil {
		t.Errorf("kept %q, %v", n, err)
	}
}

// A synchronous standby has what was committed, refuses writes, and takes over.
func TestStandby(t *testing.T) {
	s := For(t, Options{})
	do(t, s.Exec("create table kept (n int)"))
	standby, err := s.Standby(Options{Addresses: []string{"127.0.0.1"}})
	standby = oauthtest.Closing(t, standby, err)
	do(t, s.WaitForStandby())
	do(t, s.Exec("insert into kept values (7)"))
	if err := standby.Exec("insert into kept values (8)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("a standby takes writes: %v", err)
	}
	do(t, s.Kill())
	do(t, standby.Promote())
	do(t, standby.Exec("insert into kept values (8)"))
	if n, err := standby.Text("select sum(n)::text from kept"); n != "15" || err != nil {
		t.Errorf("kept %q, %v", n, err)
	}
}

// Behind a transaction pooler two transactions of one client can have two servers.
func TestBouncer(t *testing.T) {
	s := For(t, Options{})
	for mode, kept := range map[string]bool{"session": true, "transaction": false} {
		b, err := s.Bouncer("127.0.0.1", mode)
		do(t, err)
		ctx := t.Context()
		var conns [2]*pgx.Conn
		for i := range conns {
			conns[i], err = pgx.Connect(ctx, b.DSN()+" default_query_exec_mode=simple_protocol")
			do(t, err)
		}
		var first, second int
		do(t, conns[0].QueryRow(ctx, "select pg_backend_pid()").Scan(&first))
		_, err = conns[1].Exec(ctx, "begin") // takes the server that is free
		do(t, err)
		do(t, conns[0].QueryRow(ctx, "select pg_backend_pid()").Scan(&second))
		if (first == second) != kept {
			t.Errorf("%s: backends %d and %d", mode, first, second)
		}
		for _, c := range conns {
			do(t, c.Close(ctx))
		}
		do(t, b.Close())
	}
}
