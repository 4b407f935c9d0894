package boltstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Options of Open.
type Options struct {
	// Timeout is how long to wait for another process to let go of the file.
	// Default: 5 seconds, which outlasts a restart.
	Timeout time.Duration
	// Observe, unless nil, is told of each transaction.
	Observe storage.Observer
	// Progress, unless nil, is told how far the opening of a large file is: once before
	// anything is read, when nobody else has the file, and often from then on. An error
	// of it ends the opening.
	Progress func(done, total int64) error
	// noCopy migrates a file of an earlier version without keeping a copy of it.
	noCopy bool
	// moves opens a file whatever mark of a move is on it, and looks does not migrate it.
	moves, looks bool
}

const defaultTimeout = 5 * time.Second

// Open opens the file, or creates it with its directory. Its errors name the
// file, the cause and what to do.
func Open(path string, o Options) (*Store, error) {
	e, err := openEngine(path, o, bbolt.Options{})
	if err != nil {
		return nil, err
	}
	return &Store{Store: kv.New(e), Migrated: e.db.migrated, engine: e, path: path}, nil
}

// openEngine opens the file; tests pass limits of the disk in bo.
func openEngine(path string, o Options, bo bbolt.Options) (*engine, error) {
	bo = options(o, bo)
	if err := create(path, bo); err != nil {
		return nil, explain(path, err)
	}
	f, err := lockFile(path, bo)
	if err != nil {
		return nil, explain(path, err)
	}
	if err := verifyLocked(f, o); err != nil {
		return nil, explain(path, errors.Join(err, letGo(f)))
	}
	db, err := openDatabase(f, path, o, bo)
	if err != nil {
		return nil, explain(path, err)
	}
	e := newEngine(db)
	e.observe = o.Observe
	return e, nil
}

// options completes those of bbolt.
func options(o Options, bo bbolt.Options) bbolt.Options {
	bo.Timeout = o.Timeout
	if bo.Timeout <= 0 {
		bo.Timeout = defaultTimeout
	}
	bo.FreelistType = bbolt.FreelistMapType // stays fast in a large, fragmented file
	bo.NoStatistics = true                  // nobody asks, and readers would share a lock for them
	bo.NoFreelistSync = true                // else each commit sorts and writes all that was ever swept; found again by Open
	if bo.OpenFile == nil {
		bo.OpenFile = os.OpenFile
	}
	bo.OpenFile = private(bo.OpenFile)
	return bo
}

// create makes the file unless it exists. It gets its name when it is a whole
// database: an empty file is always what is left of one.
func create(path string, bo bbolt.Options) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := newfile.Create(path, func(f *os.File) error {
		db, err := bbolt.Open(f.Name(), 0o600, &bo)
		if err != nil {
			return err
		}
		return errors.Join(layOut(db), db.Close())
	})
	if errors.Is(err, fs.ErrExist) { // by another process, right now
		return nil
	}
	return err
}

// openDatabase opens a file that is locked and was verified. bbolt locks it once more,
// which lets nobody else in between, and closes it.
func openDatabase(f *os.File, path string, o Options, bo bbolt.Options) (*database, error) {
	db := &database{path: path}
	bo.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	bo.Logger = &commitWatch{failed: db.failedCommit}
	if err := db.open(bo); err != nil {
		return nil, err
	}
	db.stored(db.settle()) // a disk that cannot be written to can be read: the first commit tries again
	if err := guarded(func() error { return db.migrate(o) }); err != nil {
		return nil, errors.Join(err, guarded(db.bolt.Close))
	}
	db.committed.Store(max(db.state(0), db.state(1)))
	return db, nil
}

// open leaves nothing open or locked when it fails.
func (d *database) open(bo bbolt.Options) error {
	bo.OpenFile = d.keep(bo.OpenFile)
	err := guarded(func() (err error) {
		if d.bolt, err = bbolt.Open(d.path, 0o600, &bo); err == nil {
			d.pageSize = d.bolt.Info().PageSize
		}
		return err
	})
	if errors.Is(err, errDamaged) && d.file != nil { // bbolt panicked, and closed nothing
		_ = letGo(d.file)
	}
	return err
}

type openFile = func(name string, flag int, perm os.FileMode) (*os.File, error)

// keep wraps open so that the file it opens is known.
func (d *database) keep(open openFile) openFile {
	return func(name string, flag int, perm os.FileMode) (f *os.File, err error) {
		d.file, err = open(name, flag, perm)
		return d.file, err
	}
}

// private wraps open so that it refuses a file that others than its owner may
// touch. It looks at the open file, so nobody can swap it in between.
func private(open openFile) openFile {
	return func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := open(name, flag, perm)
		if err != nil || runtime.GOOS == "windows" { // access there is not in the mode
			return f, err
		}
		info, err := f.Stat()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("others than its owner may access it (mode %04o); run chmod 600 on it", info.Mode().Perm())
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}

// lockFile opens a file that exists and locks it, whatever is in it, so that nobody else
// has it from then on. bbolt can lock it all the same, see tryLock.
func lockFile(path string, bo bbolt.Options) (*os.File, error) {
	for end := time.Now().Add(bo.Timeout); ; {
		f, err := bo.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if err := waitForLock(f, end); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if !replaced(f, path) { // by a restore or a compaction that had it locked meanwhile
			return f, nil
		}
		if err := letGo(f); err != nil {
			return nil, err
		}
	}
}

const lockStep = 50 * time.Millisecond

func waitForLock(f *os.File, end time.Time) error {
	for {
		if held, err := tryLock(f); held || err != nil {
			return err
		}
		if time.Now().After(end) {
			return bolterrors.ErrTimeout
		}
		time.Sleep(lockStep)
	}
}

// replaced reports whether the path leads to another file than the one that is open.
func replaced(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := os.Stat(path)
	return err == nil && !os.SameFile(open, at)
}

// verifyLocked reads all pages that are in use, and fails if one is damaged. bbolt
// reads them too when it opens the file, to find the free ones, but in a
// goroutine whose panic nobody could catch, and keeps the file locked if it
// finds fault.
func verifyLocked(f *os.File, o Options) error {
	if err := refuseEmpty(f.Stat()); err != nil {
		return err
	}
	size, err := pageSizeOf(f)
	if err != nil {
		return err
	}
	return checkPages(f, size, o)
}

// verify does the same with a file that nobody has open for writing.
func verify(path string, bo bbolt.Options) error {
	if err := refuseEmpty(os.Stat(path)); err != nil {
		return err
	}
	bo.ReadOnly = true // then bbolt reads where the file begins, and nothing else
	reading := &database{path: path}
	if err := reading.open(bo); err != nil {
		return err
	}
	return errors.Join(checkPages(reading.file, reading.pageSize, Options{}), guarded(reading.bolt.Close))
}

// refuseEmpty refuses what bbolt would make a database of.
func refuseEmpty(info os.FileInfo, err error) error {
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return fmt.Errorf("%w (it is empty, which this program never leaves behind)", errDamaged)
	}
	return err
}

// pageSizeOf returns how large the pages of a file are, by one of the two that it begins
// with. Where the second of them is, only its size tells.
func pageSizeOf(f io.ReaderAt) (int, error) {
	const smallest, largest = 1 << 10, 16 << 20
	m := make([]byte, metaLength)
	for at := int64(0); at <= largest; at = max(2*at, smallest) {
		if _, err := f.ReadAt(m, at+pageHeader); err != nil {
			break
		}
		size := int64(order.Uint32(m[8:]))
		if validMeta(m) && size >= smallest && size <= largest && (at == 0 || at == size) {
			return int(size), nil
		}
	}
	return 0, bolterrors.ErrInvalid
}
