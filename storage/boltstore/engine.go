package boltstore

import (
	"bytes"
	"context"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// engine is a kv.Engine on a bbolt file.
type engine struct {
	db *database
	*committer
	observe storage.Observer
}

func newEngine(db *database) *engine {
	return &engine{db: db, committer: newCommitter(db)}
}

// View implements kv.Engine.
func (e *engine) View(ctx context.Context, fn func(kv.Reader) error) error {
	began := time.Now()
	err := e.view(ctx, fn)
	e.observe.Observe(false, began, err)
	return err
}

// Update implements kv.Engine.
func (e *engine) Update(ctx context.Context, fn func(kv.Tx) error) error {
	began := time.Now()
	err := e.committer.Update(ctx, fn)
	e.observe.Observe(true, began, err)
	return err
}

func (e *engine) view(ctx context.Context, fn func(kv.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	btx, err := e.db.begin(false)
	if err != nil {
		return err
	}
	defer e.db.rollback(btx) // how a reading transaction ends
	return e.db.guard(func() error { return fn(&tx{Tx: btx}) })
}

// Close implements kv.Engine. It waits for every transaction that can end.
func (e *engine) Close() error {
	e.committer.stop()
	return e.db.close()
}

// tx is a kv.Tx on the records. Each kind of record, which is the first byte
// of its key, has a bucket of its own from its first record on: a tree that
// other kinds do not make deeper.
type tx struct {
	*bbolt.Tx
	wrote bool
}

// bucket returns the bucket for the key, or nil.
func (t *tx) bucket(key []byte) *bbolt.Bucket { return t.Bucket(key[:1]) }

func (t *tx) Get(key []byte) []byte {
	b := t.bucket(key)
	if b == nil {
		return nil
	}
	return b.Get(key)
}

func (t *tx) Scan(from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		kinds := t.Cursor()
		var kind []byte
		for next, _ := kinds.Seek(from[:min(1, len(from))]); next != nil; next, _ = kinds.Next() {
			kind = inOrder(kind, next)
			if len(kind) > 1 {
				continue // no records
			}
			c := t.Bucket(kind).Cursor()
			var key []byte
			for next, value := c.Seek(from); next != nil; next, value = c.Next() {
				if key = inOrder(key, next); !yield(key, value) {
					return
				}
			}
		}
	}
}

// inOrder returns the key that follows another one. Where it does not, a damaged
// page leads back into its own tree, and there would be no end.
func inOrder(last, next []byte) []byte {
	if last != nil && bytes.Compare(last, next) >= 0 {
		panic(damaged("its keys are not in order"))
	}
	return next
}

func (t *tx) Put(key, value []byte) error {
	t.wrote = true
	b := t.bucket(key)
	if b == nil {
		var err error
		if b, err = t.CreateBucket(key[:1]); err != nil {
			return err
		}
	}
	return b.Put(key, value)
}

func (t *tx) Delete(key []byte) error {
	b := t.bucket(key)
	if b == nil {
		return nil
	}
	t.wrote = true
	return b.Delete(key)
}
