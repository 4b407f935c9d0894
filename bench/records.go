package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
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

// diskSyncRate returns how many 4 KiB writes per second the disk makes
// durable one after the other: the bound for a lone caller of anything that
// must not lose an answer.
func diskSyncRate(dir string, d time.Duration) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	block := bytes.Repeat([]byte{0xa5}, 4096)
	if _, err := f.Write(bytes.Repeat(block, 256)); err != nil { // the file never grows below
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	n := 0
	start := time.Now()
	for time.Since(start) < d {
		if _, err := f.WriteAt(block, int64(n%256)*4096); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// boltCommits returns how many transactions a database has committed so far. bbolt
// numbers them, and keeps the number in the two meta pages at the start of the file;
// reading them disturbs nobody. It syncs the file twice in each: the pages, then the
// meta page.
func boltCommits(path string) (uint64, error) {
	const (
		magic    = 0xED0CDAED
		idOffset = 64 // page header 16; magic, version, page size, flags 4 each; root 16, freelist 8, high-water mark 8
	)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // nothing was stored yet
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var last uint64
	for page := range int64(2) {
		var meta [72]byte
		if _, err := f.ReadAt(meta[:], page*int64(os.Getpagesize())); err != nil && err != io.EOF {
			return 0, err
		}
		if binary.NativeEndian.Uint32(meta[16:]) != magic {
			return 0, errors.New(path + " is no bbolt database")
		}
		last = max(last, binary.NativeEndian.Uint64(meta[idOffset:]))
	}
	return last, nil
}
