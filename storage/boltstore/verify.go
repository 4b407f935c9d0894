package boltstore

import (
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

// verify reads all pages that are in use, and fails if one is damaged. bbolt
// reads them too when it opens the file, to find the free ones, but in a
// goroutine whose panic nobody could catch, and keeps the file locked if it
// finds fault.
func verify(path string, bo bbolt.Options) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && info.Size() == 0 {
		return fmt.Errorf("%w (it is empty, which this program never leaves behind)", errDamaged)
	}
	bo.ReadOnly = true // then bbolt reads where the file begins, and nothing else
	reading := &database{path: path}
	if err := reading.open(bo); err != nil {
		return err
	}
	return errors.Join(checkPages(reading.file, reading.pageSize), guarded(reading.bolt.Close))
}
