package changes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Database is what a Watcher works on.
type Database struct {
	// Query runs a statement with {} in the place of the schema.
	Query func(ctx context.Context, scan func(pgx.Rows) error, sql string, args ...any) error
	// Tell tells others of a change that no verb makes.
	Tell func(ctx context.Context, c storage.Change) error
	// Soon returns the second of the database's clock that is so far away.
	Soon func(time.Duration) int64
	// Listen returns how to make the connection on which to listen, by now.
	Listen func() *pgx.ConnConfig
	Schema string
}

// Watcher is the storage.Watcher of one process, as one of those that have the
// schema open.
type Watcher struct {
	db       Database
	self     []byte
	channel  string
	notifies bool // the database can

	mu     sync.Mutex // held while a watch begins, and by Close
	closed chan struct{}
	open   sync.WaitGroup // what watches have going
}

// New returns a watcher. It asks the database whether it can notify.
func New(ctx context.Context, db Database) (*Watcher, error) {
	name := fnv.New64a()
	_, _ = name.Write([]byte(db.Schema))
	w := &Watcher{
		db: db, self: make([]byte, 16), closed: make(chan struct{}),
		channel: "mcp_oauth_" + hex.EncodeToString(name.Sum(nil)), // one channel serves a database, and a name has 63 bytes
	}
	_, _ = rand.Read(w.self) // never fails, see crypto/rand
	err := db.Query(ctx, func(rows pgx.Rows) error {
		for rows.Next() {
			if err := rows.Scan(&w.notifies); err != nil {
				return err
			}
		}
		return rows.Err()
	}, `select exists (select 1 from pg_catalog.pg_proc where proname = 'pg_notify')`)
	return w, err
}

// Announce implements storage.Watcher.
func (w *Watcher) Announce(ctx context.Context, issuer, name, text string) error {
	if len(text) > storage.MaxAnnouncement {
		return storage.ErrAnnouncement
	}
	return w.db.Tell(ctx, storage.Change{Kind: storage.Announced, Issuer: issuer, Name: name, Text: text})
}

// Watch implements storage.Watcher.
func (w *Watcher) Watch(ctx context.Context) (storage.Watch, error) {
	watch := &watch{watcher: w, woken: make(chan struct{}, 1), over: make(chan struct{})}
	if err := watch.start(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.closed:
		return nil, storage.ErrClosed
	default:
	}
	if w.notifies {
		watch.listen()
	}
	return watch, nil
}

// Close ends all watches and waits for them. It is called once.
func (w *Watcher) Close() {
	w.mu.Lock()
	close(w.closed)
	w.mu.Unlock()
	w.open.Wait()
}
