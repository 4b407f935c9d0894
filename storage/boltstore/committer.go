package boltstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// committer gives the calls that wait at the same time one transaction.
type committer struct {
	db      *bbolt.DB
	mu      sync.Mutex
	arrived sync.Cond // a call, or the end
	queue   []*call
	ended   bool
	stopped chan struct{} // closed when the goroutine is gone
}

// call is one Update.
type call struct {
	fn       func(kv.Tx) error
	state    atomic.Int32
	err      error
	panicked any
	done     chan struct{} // closed when err and panicked are final
}

// States of a call: it belongs to whoever takes it first.
const (
	waiting   = iota
	taken     // by the committer: it has an outcome soon
	withdrawn // by its caller: it never runs
)

func startCommitter(db *bbolt.DB) *committer {
	c := &committer{db: db, stopped: make(chan struct{})}
	c.arrived.L = &c.mu
	go c.run()
	return c
}

// Update implements kv.Engine. A context that ends while the call waits for
// its turn withdraws it; once its transaction runs, the outcome is awaited,
// so that an error always means that nothing was changed.
func (c *committer) Update(ctx context.Context, fn func(kv.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mine := &call{fn: fn, done: make(chan struct{})}
	if err := c.enqueue(mine); err != nil {
		return err
	}
	select {
	case <-mine.done:
	case <-ctx.Done():
		if mine.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
		<-mine.done
	}
	if mine.panicked != nil {
		panic(mine.panicked)
	}
	return mine.err
}

func (c *committer) enqueue(mine *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return storage.ErrClosed
	}
	c.queue = append(c.queue, mine)
	c.arrived.Signal()
	return nil
}

// stop lets the calls that wait finish, and refuses new ones.
func (c *committer) stop() {
	c.mu.Lock()
	c.ended = true
	c.arrived.Signal()
	c.mu.Unlock()
	<-c.stopped
}

func (c *committer) run() {
	defer close(c.stopped)
	for {
		batch := c.next()
		if batch == nil {
			return
		}
		c.commit(batch)
	}
}

// next waits for calls and takes all there are; nil means the end.
func (c *committer) next() []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.ended {
		c.arrived.Wait()
	}
	batch := c.queue
	c.queue = nil
	return batch
}

// commit gives every call of the batch its outcome. A call that fails after
// it wrote spoils the transaction for all: the others run again without it.
func (c *committer) commit(batch []*call) {
	batch = slices.DeleteFunc(batch, func(x *call) bool { return !x.state.CompareAndSwap(waiting, taken) })
	for len(batch) > 0 {
		spoiler, err := c.try(batch)
		if spoiler != nil {
			close(spoiler.done)
			batch = slices.DeleteFunc(batch, func(x *call) bool { return x == spoiler })
			continue
		}
		for _, x := range batch {
			if err != nil { // whatever a call saw or decided, it did not last
				x.err, x.panicked = err, nil
			}
			close(x.done)
		}
		return
	}
}

// try runs the batch in one transaction. It returns the call that spoiled it,
// or the error of the transaction, which is then every call's.
func (c *committer) try(batch []*call) (spoiler *call, err error) {
	btx, err := c.db.Begin(true)
	if err != nil {
		return nil, closedOr(err)
	}
	defer func() { _ = btx.Rollback() }() // nothing to do after Commit
	defer func() {
		if p := recover(); p != nil { // bbolt's word for a damaged file
			err = fmt.Errorf("boltstore: commit: %v", p)
		}
	}()
	bucket := btx.Bucket(recordsBucket)
	wrote := false
	for _, x := range batch {
		t := &tx{bucket: bucket}
		x.run(t)
		if t.wrote && (x.err != nil || x.panicked != nil) {
			return x, nil
		}
		wrote = wrote || t.wrote
	}
	if !wrote {
		return nil, nil // a refusal that changes nothing costs no fsync
	}
	return nil, btx.Commit()
}

// run runs the call. A panic travels to its caller: it must not end the
// committer, and with it every other caller.
func (x *call) run(t *tx) {
	defer func() { x.panicked = recover() }()
	x.err = x.fn(t)
}
