package boltstore

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
)

// compactStep bounds how much one transaction of a compaction writes.
const compactStep = 4 << 20

// Compact writes the file anew, without the room that what was removed has left, and
// returns how many bytes it had and has. Nobody may have it open. The file stays as it
// is until the new one is complete and on disk.
func Compact(path string, o Options) (before, after int64, err error) {
	if _, err := os.Stat(path); err != nil { // Open would make one
		return 0, 0, explain(path, err)
	}
	if err := checkNoLink(path); err != nil {
		return 0, 0, err
	}
	e, err := openEngine(path, o, bbolt.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }() // it has the lock until then
	info, err := e.db.file.Stat()
	if err != nil {
		return 0, 0, err
	}
	before = info.Size()
	err = newfile.Replace(path, func(f *os.File) error {
		err := e.db.guard(func() error { return compactInto(f.Name(), e.db.bolt) })
		return errors.Join(err, ownAs(f.Name(), path))
	})
	if err != nil {
		return before, before, fmt.Errorf("boltstore: the database %s was not compacted, and stays as it is: %w%s", path, err, advice(path, err))
	}
	info, err = os.Stat(path)
	if err != nil {
		return before, 0, err
	}
	return before, info.Size(), nil
}

// compactInto fills an empty file with what is in a database, and checks it.
func compactInto(path string, from *bbolt.DB) error {
	bo := options(Options{}, bbolt.Options{NoSync: true, PageSize: from.Info().PageSize})
	to, err := bbolt.Open(path, 0o600, &bo)
	if err != nil {
		return err
	}
	err = bbolt.Compact(to, from, compactStep)
	if err == nil {
		err = to.Sync()
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return verify(path, bo)
}
