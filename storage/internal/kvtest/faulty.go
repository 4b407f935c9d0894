package kvtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// ErrInjected is the fault.
var ErrInjected = errors.New("kvtest: injected fault")

// Engine is an engine whose writes can be made to fail.
type Engine struct {
	kv.Engine
	left atomic.Int64
}

// Wrap returns the engine, without fault.
func Wrap(e kv.Engine) *Engine { return &Engine{Engine: e} }

// FailWrite lets the n-th write from now on fail, once; 0 lets all succeed.
func (e *Engine) FailWrite(n int) { e.left.Store(int64(n)) }

// Update implements kv.Engine.
func (e *Engine) Update(ctx context.Context, fn func(kv.Tx) error) error {
	return e.Engine.Update(ctx, func(t kv.Tx) error { return fn(&tx{Tx: t, engine: e}) })
}

// Dump returns everything that is stored.
func (e *Engine) Dump(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	err := e.View(context.Background(), func(r kv.Reader) error {
		for k, v := range r.Scan(nil) {
			fmt.Fprintf(&all, "%q = %q\n", k, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

type tx struct {
	kv.Tx
	engine *Engine
}

func (t *tx) Put(key, value []byte) error {
	if t.engine.left.Add(-1) == 0 {
		return ErrInjected
	}
	return t.Tx.Put(key, value)
}

func (t *tx) Delete(key []byte) error {
	if t.engine.left.Add(-1) == 0 {
		return ErrInjected
	}
	return t.Tx.Delete(key)
}

// Twice is an engine that runs each change twice, the first time in vain, as one
// does that shares a transaction with a change that fails.
type Twice struct{ kv.Engine }

var errInVain = errors.New("kvtest: in vain")

// Update implements kv.Engine.
func (e Twice) Update(ctx context.Context, fn func(kv.Tx) error) error {
	err := e.Engine.Update(ctx, func(t kv.Tx) error {
		if err := fn(t); err != nil {
			return err
		}
		return errInVain
	})
	if !errors.Is(err, errInVain) {
		return err
	}
	return e.Engine.Update(ctx, fn)
}
