package boltstore

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// verify reads all pages that are in use, and fails if one is damaged. bbolt
// does the same when it opens the file, to find the free ones, but in a
// goroutine whose panic nobody could catch.
func verify(path string, bo bbolt.Options) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	bo.ReadOnly = true
	db, err := bbolt.Open(path, 0o600, &bo)
	if err != nil {
		return err
	}
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(_, _ []byte) error { return nil })
			})
		})
	})
	return errors.Join(err, db.Close())
}
