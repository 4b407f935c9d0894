//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a running server.
type Server struct {
	*home
	options Options
	ca      *Authority
	process *exec.Cmd
	schemas atomic.Int64
}

// Start makes a database and starts its server. args go to postgres.
func Start(args ...string) (*Server, error) { return StartWith(Options{Args: args}) }

// StartWith makes a database and starts its server.
func StartWith(o Options) (*Server, error) {
	return start(o, func(s *Server) error {
		return s.run(s.options.StartProcess, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	})
}

// start runs a server on what fill puts into its data folder.
func start(o Options, fill func(*Server) error) (*Server, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	s := &Server{home: h, options: o}
	err = fill(s)
	if err == nil {
		err = s.configure()
	}
	if err == nil {
		err = s.Run()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// configure writes who may come, and the server's certificate.
func (s *Server) configure() error {
	hba := strings.Join(s.options.hba(), "\n") + "\n"
	if err := s.write("data/pg_hba.conf", []byte(hba)); err != nil || !s.options.TLS {
		return err
	}
	if s.ca == nil {
		var err error
		if s.ca, err = NewAuthority(); err != nil {
			return err
		}
	}
	certificate, key, err := s.ca.Issue(s.options.Names...)
	if err != nil {
		return err
	}
	return errors.Join(s.write("ca.pem", s.ca.PEM), s.write("server.pem", certificate), s.write("server.key", key))
}

// Run starts the server, again after Stop or Kill.
func (s *Server) Run() error {
	args := []string{
		"-D", s.data(), "-k", s.dir, "-p", strconv.Itoa(s.options.Port),
		"-c", "listen_addresses=" + strings.Join(s.options.Addresses, ","), "-c", "fsync=off", "-c", "max_connections=300",
	}
	if s.options.TLS {
		args = append(args, "-c", "ssl=on", "-c", "ssl_cert_file="+s.path("server.pem"), "-c", "ssl_key_file="+s.path("server.key"),
			"-c", "ssl_ca_file="+s.path("ca.pem"))
	}
	var err error
	if s.process, err = s.start(s.options.StartProcess, "postgres", append(args, s.options.Args...)...); err != nil {
		return err
	}
	return s.answers(func() error { return s.Exec("select 1") })
}

// Stop ends the server's sessions and the server, and waits for it.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	err := errors.Join(s.Continue(), end(s.process, syscall.SIGINT))
	s.process = nil
	return err
}

// Close stops the server and removes the database.
func (s *Server) Close() error { return errors.Join(s.Stop(), os.RemoveAll(s.dir)) }

// Port is that of the socket and the addresses.
func (s *Server) Port() int { return s.options.Port }

// DSN is of the superuser, at the socket.
func (s *Server) DSN() string { return s.dsn(s.dir) }

// dsn is DSN with the socket in another folder.
func (s *Server) dsn(dir string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", dir, s.options.Port)
}

// TCP is the DSN of a user at the first address. Its TLS is verified.
func (s *Server) TCP(user string) string {
	dsn := fmt.Sprintf("host=%s port=%d user=%s dbname=postgres", s.options.Addresses[0], s.options.Port, user)
	if !s.options.TLS {
		return dsn + " sslmode=disable"
	}
	return dsn + " sslmode=verify-full sslrootcert=" + s.CA()
}

// CA is the file with the certificate of the server's authority.
func (s *Server) CA() string { return s.path("ca.pem") }

// Authority has signed the server's certificate, and signs those of clients.
func (s *Server) Authority() *Authority { return s.ca }

// Schema returns a name that no test had before.
func (s *Server) Schema() string { return fmt.Sprintf("test_%d", s.schemas.Add(1)) }

// Exec runs statements as the superuser.
func (s *Server) Exec(sql string) error {
	return s.connected(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// Text asks for one value as the superuser.
func (s *Server) Text(sql string) (string, error) {
	var text string
	err := s.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sql).Scan(&text)
	})
	return text, err
}

func (s *Server) connected(do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return do(ctx, conn)
}

func (s *Server) data() string { return s.path("data") }

// home is a folder with what one program keeps, and the account that it runs as.
type home struct {
	dir     string
	account *syscall.Credential // nil for our own
}

func newHome() (*home, error) {
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	h := &home{dir, account}
	return h, h.own("")
}

// Dir is where the socket is, and what args may name files in.
func (h *home) Dir() string { return h.dir }

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) own(name string) error {
	if h.account == nil {
		return nil
	}
	return os.Chown(h.path(name), int(h.account.Uid), int(h.account.Gid))
}

// write makes a file that the program's account alone can read.
func (h *home) write(name string, text []byte) error {
	if err := os.WriteFile(h.path(name), text, 0o600); err != nil {
		return err
	}
	return h.own(name)
}
