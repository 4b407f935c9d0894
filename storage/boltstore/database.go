package boltstore

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// database is the way to bbolt, and all of it: bbolt panics when it meets a
// damaged page, wherever that is, and may hold its locks then. So every call
// is guarded, and where a transaction could not be begun or ended in order the
// database is broken: nobody calls bbolt again, where they would wait for ever.
type database struct {
	path     string
	bolt     *bbolt.DB
	file     *os.File // that bolt has open
	pageSize int
	// beginning is held while a transaction begins. Those that wait for bbolt's
	// own lock could not be told that who holds it panicked.
	beginning sync.Mutex
	meta      [metaLength]byte      // read while one begins
	committed atomic.Uint64         // the newest transaction that is known
	failure   atomic.Pointer[error] // set once broken, or closed
	// committing tells that bbolt is at work on a commit, see failedCommit.
	committing atomic.Bool
	migrated   *Migration // nil if the file was of this version
	// wrote is when a commit was last stored, and refused why one was not since a check
	// last found that the disk takes what is to be stored, or nil. See Store.Check.
	wrote   atomic.Int64
	refused atomic.Pointer[error]
	// readers counts who reads an even state, and an odd one.
	readers [2]atomic.Int32
	// Of who commits, see damage.go.
	settled   bool   // what the file says is on the disk
	replacing uint64 // one of the two pages, by the commit
	former    []byte // what it said
}

// broken returns why no call reaches bbolt any more, or nil.
func (d *database) broken() error {
	if failure := d.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

// guard runs fn like guarded. Its errors name the file that is damaged.
func (d *database) guard(fn func() error) error {
	err := guarded(fn)
	if errors.Is(err, errDamaged) {
		return fmt.Errorf("boltstore: %s: %w", d.path, err)
	}
	return err
}

func (d *database) breakDown(cause error) {
	d.failure.CompareAndSwap(nil, &cause)
}

func (d *database) begin(writable bool) (tx *bbolt.Tx, err error) {
	d.beginning.Lock()
	defer d.beginning.Unlock()
	if err := d.broken(); err != nil {
		return nil, err
	}
	if err := d.guard(d.checkMeta); err != nil {
		d.breakDown(err)
		return nil, err
	}
	err = d.guard(func() (err error) {
		tx, err = d.bolt.Begin(writable)
		return err
	})
	if errors.Is(err, errDamaged) {
		d.breakDown(err)
	}
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = storage.ErrClosed
	}
	if err == nil && !writable {
		d.readers[tx.ID()%2].Add(1)
	}
	return tx, err
}

// checkMeta looks at the two pages that the file begins with. Without a valid one
// bbolt would panic with the locks held that others need to end what they began
// before. Without the newer one it would go on with the state before, and what
// was stored since would be lost, and overwritten while it is read.
func (d *database) checkMeta() error {
	last := d.committed.Load()
	for i := range uint64(2) { // the one that names it first
		if tx := d.state((last + i) % 2); tx > 0 && tx >= last {
			return nil
		}
	}
	return damaged("the page that names its newest state is not valid")
}

// state returns the transaction that one of the two pages names, or 0 if it is
// not valid. The one with the older state may be just being written.
func (d *database) state(page uint64) uint64 {
	_, err := d.file.ReadAt(d.meta[:], int64(page)*int64(d.pageSize)+pageHeader)
	if err != nil || !validMeta(d.meta[:]) {
		return 0
	}
	return order.Uint64(d.meta[48:])
}

// checkLength fails, for good, if the file is shorter than what is stored in it.
func (d *database) checkLength() error {
	tx, err := d.begin(false)
	if err != nil {
		return err
	}
	defer d.rollback(tx)
	info, err := d.file.Stat()
	if err == nil && info.Size() < tx.Size() {
		err = fmt.Errorf("boltstore: %s: %w", d.path, damaged("it was cut short while it is open"))
		d.breakDown(err)
	}
	return err
}

// rollback ends a transaction that was not committed. It does nothing after a
// commit.
func (d *database) rollback(tx *bbolt.Tx) {
	if state := tx.ID(); state >= 0 && !tx.Writable() {
		defer d.readers[state%2].Add(-1)
	}
	if err := d.guard(tx.Rollback); err != nil && !errors.Is(err, bolterrors.ErrTxClosed) {
		d.breakDown(err)
	}
}

// commit ends a transaction whose error means that nothing was changed.
func (d *database) commit(tx *bbolt.Tx) (err error) {
	defer func() { d.stored(err) }()
	if err := d.settle(); err != nil {
		return err
	}
	d.remember(tx)
	d.committing.Store(true)
	defer d.committing.Store(false)
	id := uint64(tx.ID())
	if err = d.guard(tx.Commit); err == nil {
		d.committed.Store(id)
	}
	return err
}

// stored notes whether the disk took what it was to store. That it took one change
// after it had refused another does not tell that there is room: pages that have become
// free take some.
func (d *database) stored(err error) {
	if err != nil {
		d.refused.Store(&err)
		return
	}
	d.wrote.Store(time.Now().UnixNano())
}

// doubtful reports whether it is not known that the disk takes what is to be stored.
func (d *database) doubtful() bool {
	return d.refused.Load() != nil || time.Now().UnixNano()-d.wrote.Load() > int64(trialInterval)
}

// failedCommit is called by bbolt when the disk refuses a commit, before it
// looks for the free pages anew, by the state that is the newest once the commit
// is undone. It does that in a goroutine where a damaged
// page would end the process. So the pages are looked at here first; the panic
// is the only way out, and caught by commit.
func (d *database) failedCommit() {
	if !d.committing.CompareAndSwap(true, false) { // once for each
		return
	}
	d.undo()
	if err := d.guard(func() error { return checkPages(d.file, d.pageSize, Options{}) }); err != nil {
		d.breakDown(err)
		panic(err)
	}
}

// close waits for every transaction, unless the database is broken: then there
// is one that never ends. The file, and with it the lock, is let go all the same.
func (d *database) close() error {
	closed := storage.ErrClosed
	switch was := d.failure.Swap(&closed); {
	case was == nil:
		return d.guard(d.bolt.Close)
	case errors.Is(*was, storage.ErrClosed):
		return nil
	default:
		return letGo(d.file)
	}
}

// commitWatch is the logger of bbolt: it is told of a failure before bbolt
// goes on, and nothing else is. It costs each transaction two small allocations
// for arguments that nobody reads; a cached token needs no transaction.
type commitWatch struct {
	bbolt.DefaultLogger // which is never used
	failed              func()
}

func (w *commitWatch) Errorf(string, ...any) { w.failed() }
func (*commitWatch) Debugf(string, ...any)   {}
func (*commitWatch) Infof(string, ...any)    {}
func (*commitWatch) Warningf(string, ...any) {}
