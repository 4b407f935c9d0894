package boltstore

import (
	"context"
	"errors"
	"iter"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// engine is a kv.Engine on a bbolt file.
type engine struct {
	db *bbolt.DB
	*committer
}

func newEngine(db *bbolt.DB) *engine {
	return &engine{db: db, committer: newCommitter(db)}
}

// View implements kv.Engine.
func (e *engine) View(ctx context.Context, fn func(kv.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	btx, err := e.db.Begin(false)
	if err != nil {
		return closedOr(err)
	}
	defer func() { _ = btx.Rollback() }() // how a reading transaction ends
	return fn(&tx{bucket: btx.Bucket(recordsBucket)})
}

// Close implements kv.Engine. It waits for every transaction.
func (e *engine) Close() error {
	e.committer.stop()
	return e.db.Close()
}

func closedOr(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return storage.ErrClosed
	}
	return err
}

// tx is a kv.Tx on the records.
type tx struct {
	bucket *bbolt.Bucket
	wrote  bool
}

func (t *tx) Get(key []byte) []byte { return t.bucket.Get(key) }

func (t *tx) Scan(from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		c := t.bucket.Cursor()
		for k, v := c.Seek(from); k != nil; k, v = c.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

func (t *tx) Put(key, value []byte) error {
	t.wrote = true
	return t.bucket.Put(key, value)
}

func (t *tx) Delete(key []byte) error {
	t.wrote = true
	return t.bucket.Delete(key)
}
