//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Bouncer is PgBouncer in front of a server.
type Bouncer struct {
	*home
	address string
	port    int
	process *exec.Cmd
	begin   func(*exec.Cmd) error
}

// Bouncer starts PgBouncer in front of the server's socket, listening at address,
// with a mode of pooling: session, transaction or statement. settings are lines
// of its [pgbouncer] section.
func (s *Server) Bouncer(address, mode string, settings ...string) (*Bouncer, error) {
	port := 6432
	var err error
	if address == "127.0.0.1" {
		if port, err = freePort(address); err != nil {
			return nil, err
		}
	}
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	b := &Bouncer{home: h, address: address, port: port, begin: s.options.StartProcess}
	config := fmt.Sprintf("[databases]\n* = host=%s port=%d\n[pgbouncer]\nlisten_addr = %s\nlisten_port = %d\nunix_socket_dir = %s\n"+
		"auth_type = trust\nauth_file = %s\npool_mode = %s\ndefault_pool_size = 20\nmax_client_conn = 500\nserver_login_retry = 1\n",
		s.dir, s.options.Port, address, port, b.dir, b.path("users"), mode)
	for _, line := range settings {
		config += line + "\n"
	}
	err = errors.Join(b.write("users", []byte("\"postgres\" \"\"\n")), b.write("config", []byte(config)))
	if err == nil {
		err = b.Run()
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Run starts it, again after Stop.
func (b *Bouncer) Run() error {
	var err error
	if b.process, err = b.start(b.begin, "pgbouncer", b.path("config")); err != nil {
		return err
	}
	return b.answers(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, "host="+b.dir+" port="+fmt.Sprint(b.port)+" user=postgres dbname=postgres default_query_exec_mode=simple_protocol")
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Stop ends it at once.
func (b *Bouncer) Stop() error {
	err := end(b.process, syscall.SIGTERM)
	b.process = nil
	return err
}

// Close ends it and removes its files.
func (b *Bouncer) Close() error { return errors.Join(b.Stop(), os.RemoveAll(b.dir)) }

// DSN is of the superuser, at the address.
func (b *Bouncer) DSN() string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", b.address, b.port)
}
