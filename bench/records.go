package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
)

// records are where one gateway keeps what it must not forget.
type records struct {
	// lines choose them in a Caddyfile.
	lines string
	// commits returns how many transactions that write were committed so far.
	commits func() (uint64, error)
	// bytes returns how much of the disk they take.
	bytes func() (int64, error)
}

// inFile are records in a bbolt file in a folder.
func inFile(dir string) records {
	path := filepath.Join(dir, "mcp_oauth.db")
	return records{
		lines:   fmt.Sprintf("storage bbolt {\n\t\t\tpath %s\n\t\t}", path),
		commits: func() (uint64, error) { return boltCommits(path) },
		bytes: func() (int64, error) {
			info, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		},
	}
}

// postgres is Debian's PostgreSQL as it comes, but for max_connections. It waits for
// the disk.
type postgres struct {
	server *pgtest.Server
	conn   *pgx.Conn
	mu     sync.Mutex // conn is for one at a time
}

func startPostgres(ctx context.Context) (*postgres, error) {
	server, err := pgtest.Start("-c", "fsync=on")
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return &postgres{server: server, conn: conn}, nil
}

func (p *postgres) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(p.conn.Close(ctx), p.server.Close())
}

// inSchema are records in a schema, reached through a socket in a folder.
func (p *postgres) inSchema(schema, socket string) records {
	return records{
		lines: fmt.Sprintf("storage postgres \"host=%s user=postgres dbname=postgres\" {\n\t\t\tschema %s\n\t\t}", socket, schema),
		// Each transaction that writes leaves its attempt for ten minutes.
		commits: func() (n uint64, err error) {
			return n, p.ask(&n, `select count(*) from `+schema+`.attempts where done`)
		},
		bytes: func() (n int64, err error) {
			return n, p.ask(&n, `select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c
				join pg_namespace n on n.oid = c.relnamespace where n.nspname = '`+schema+`' and c.relkind = 'r'`)
		},
	}
}

// ask reads one value. Before there is a table there is nothing.
func (p *postgres) ask(to any, sql string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn.QueryRow(context.Background(), sql).Scan(to)
}

// do runs statements.
func (p *postgres) do(ctx context.Context, sql string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// relay is a socket on the way to a database. It counts how often somebody asks
// something there and waits for the answer.
type relay struct {
	dir    string
	trips  atomic.Uint64
	listen net.Listener
	wait   sync.WaitGroup
}

func (p *postgres) relay(dir string) (*relay, error) {
	const name = ".s.PGSQL.5432"
	r := &relay{dir: dir}
	var err error
	if r.listen, err = net.Listen("unix", filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	r.wait.Go(func() {
		for {
			client, err := r.listen.Accept()
			if err != nil {
				return
			}
			database, err := net.Dial("unix", filepath.Join(p.server.Dir(), name))
			if err != nil {
				_ = client.Close()
				continue
			}
			var waits atomic.Bool
			r.wait.Go(func() {
				forward(database, client, func() {
					if !waits.Swap(true) {
						r.trips.Add(1)
					}
				})
			})
			r.wait.Go(func() { forward(client, database, func() { waits.Store(false) }) })
		}
	})
	return r, nil
}

// close waits until the connections are closed by those who use them.
func (r *relay) close() {
	_ = r.listen.Close()
	r.wait.Wait()
}

// forward copies what arrives, and tells of it before it goes on.
func forward(to, from net.Conn, arrived func()) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			arrived()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
