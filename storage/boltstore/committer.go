package boltstore

import (
	"context"
	"slices"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// committer gives the calls that wait at the same time one transaction. It has
// no goroutine of its own: a caller that finds nobody at work commits at once;
// those that come meanwhile queue up, and the first of them then commits for
// all of them. So a lone caller waits for nothing but the disk.
type committer struct {
	db    *database
	mu    sync.Mutex
	idle  sync.Cond // busy became false
	busy  bool      // a caller commits, or was told to
	queue []*call
	ended bool
}

// call is one Update.
type call struct {
	fn    func(kv.Tx) error
	leads bool          // its caller commits the batch
	woken chan struct{} // closed when it leads, or has its outcome
	err   error
}

func newCommitter(db *database) *committer {
	c := &committer{db: db}
	c.idle.L = &c.mu
	return c
}

// Update implements kv.Engine. A context that ends while the call waits for
// its turn withdraws it; once its transaction runs, the outcome is awaited,
// so that an error always means that nothing was changed.
func (c *committer) Update(ctx context.Context, fn func(kv.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mine := &call{fn: fn, woken: make(chan struct{})}
	if err := c.enqueue(mine); err != nil {
		return err
	}
	select {
	case <-mine.woken:
	case <-ctx.Done():
		if c.withdraw(mine) {
			return ctx.Err()
		}
		<-mine.woken
	}
	if mine.leads {
		c.work()
	}
	return mine.err
}

// work commits for all that wait. Whatever happens meanwhile, the next ones get
// their turn.
func (c *committer) work() {
	defer c.handOver()
	c.commit(c.take())
}

// enqueue lets the call wait, or lead when nobody else does.
func (c *committer) enqueue(mine *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return storage.ErrClosed
	}
	c.queue = append(c.queue, mine)
	if !c.busy {
		c.busy = true
		c.lead(mine)
	}
	return nil
}

func (c *committer) lead(x *call) {
	x.leads = true
	close(x.woken)
}

// withdraw takes the call back unless it leads or runs already.
func (c *committer) withdraw(mine *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.queue, mine)
	if i < 0 || mine.leads {
		return false
	}
	c.queue = slices.Delete(c.queue, i, i+1)
	return true
}

// take takes all calls there are, the leader's among them.
func (c *committer) take() []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.queue
	c.queue = nil
	return batch
}

// handOver lets the first of those that came meanwhile lead.
func (c *committer) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		c.lead(c.queue[0])
		return
	}
	c.busy = false
	c.idle.Broadcast()
}

// stop refuses new calls, and waits for those that are there.
func (c *committer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for c.busy {
		c.idle.Wait()
	}
}

// commit gives every call of the batch its outcome. A call that fails after
// it wrote spoils the transaction for all: the others run again without it.
func (c *committer) commit(batch []*call) {
	for len(batch) > 0 {
		spoiler, err := c.try(batch)
		if spoiler != nil {
			spoiler.finish()
			batch = slices.DeleteFunc(batch, func(x *call) bool { return x == spoiler })
			continue
		}
		for _, x := range batch {
			if err != nil { // whatever a call saw or decided, it did not last
				x.err = err
			}
			x.finish()
		}
		return
	}
}

// finish wakes the caller, unless it is the one that commits.
func (x *call) finish() {
	if !x.leads {
		close(x.woken)
	}
}

// try runs the batch in one transaction. It returns the call that spoiled it,
// or the error of the transaction, which is then every call's.
func (c *committer) try(batch []*call) (spoiler *call, err error) {
	btx, err := c.db.begin(true)
	if err != nil {
		return nil, err
	}
	defer c.db.rollback(btx) // does nothing after a commit
	wrote := false
	for _, x := range batch {
		t := &tx{Tx: btx}
		// A panic is its own caller's error: it must not reach the one that
		// leads, nor leave the others waiting.
		x.err = c.db.guard(func() error { return x.fn(t) })
		if t.wrote && x.err != nil {
			return x, nil
		}
		wrote = wrote || t.wrote
	}
	if !wrote {
		return nil, c.db.settle() // a refusal that changes nothing costs no fsync
	}
	return nil, c.db.commit(btx)
}
