package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Options of Open.
type Options struct {
	// Timeout is how long to wait for another process to let go of the file.
	// Default: 5 seconds, which outlasts a restart.
	Timeout time.Duration
}

const defaultTimeout = 5 * time.Second

// Open opens the file, or creates it with its directory.
func Open(path string, o Options) (storage.Store, error) {
	e, err := openEngine(path, o, bbolt.Options{})
	if err != nil {
		return nil, err
	}
	return kv.New(e), nil
}

// openEngine opens the file; tests pass limits of the disk in bo.
func openEngine(path string, o Options, bo bbolt.Options) (*engine, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("boltstore: %w", err)
	}
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
	var db *bbolt.DB
	err := guarded(func() (err error) {
		if err := verify(path, bo); err != nil {
			return err
		}
		db, err = bbolt.Open(path, 0o600, &bo)
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("boltstore: %s is already open in another process; to change the configuration of a running Caddy, use caddy reload: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("boltstore: opening %s: %w", path, err)
	}
	if err := guarded(func() error { return prepare(db) }); err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %s: %w", path, err), db.Close())
	}
	return newEngine(db), nil
}

type openFile = func(name string, flag int, perm os.FileMode) (*os.File, error)

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
