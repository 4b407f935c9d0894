package memstore

import (
	"context"
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// New returns an empty store.
func New() storage.Store { return kv.New(newEngine()) }

type engine struct {
	seed   maphash.Seed
	root   atomic.Pointer[node]
	mu     sync.Mutex // held by the one writer
	closed atomic.Bool
}

func newEngine() *engine { return &engine{seed: maphash.MakeSeed()} }

// View implements kv.Engine.
func (e *engine) View(ctx context.Context, fn func(kv.Reader) error) error {
	if err := e.ready(ctx); err != nil {
		return err
	}
	return fn(&tx{root: e.root.Load()})
}

// Update implements kv.Engine.
func (e *engine) Update(ctx context.Context, fn func(kv.Tx) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	t := &tx{seed: e.seed, root: e.root.Load()}
	if err := fn(t); err != nil {
		return err
	}
	e.root.Store(t.root)
	return nil
}

func (e *engine) ready(ctx context.Context) error {
	if e.closed.Load() {
		return storage.ErrClosed
	}
	return ctx.Err()
}

// Close implements kv.Engine. It forgets everything.
func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed.Store(true)
	e.root.Store(nil)
	return nil
}

// tx is one transaction: a root of its own.
type tx struct {
	seed maphash.Seed
	root *node
}

func (t *tx) Get(key []byte) []byte { return t.root.get(key) }

func (t *tx) Scan(from []byte) iter.Seq2[[]byte, []byte] {
	root := t.root
	return func(yield func(key, value []byte) bool) { root.ascend(string(from), yield) }
}

func (t *tx) Put(key, value []byte) error {
	t.root = t.root.insert(string(key), value, maphash.Bytes(t.seed, key))
	return nil
}

func (t *tx) Delete(key []byte) error {
	t.root = t.root.remove(key)
	return nil
}
