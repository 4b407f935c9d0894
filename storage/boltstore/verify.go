package boltstore

import (
	"bytes"
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// verify reads all pages that are in use, and fails if one is damaged. bbolt
// reads them too when it opens the file, to find the free ones, but in a
// goroutine whose panic nobody could catch, and keeps the file locked if it
// finds fault.
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
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return inOrder(b) })
		})
	})
	return errors.Join(err, db.Close())
}

func inOrder(b *bbolt.Bucket) error {
	var before []byte
	return b.ForEach(func(key, _ []byte) error {
		if before != nil && bytes.Compare(before, key) >= 0 {
			return errors.New("boltstore: the file is damaged: keys are not in order")
		}
		before = key
		return nil
	})
}
