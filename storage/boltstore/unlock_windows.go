package boltstore

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// letGo closes the file, which gives its lock back.
func letGo(f *os.File) error { return f.Close() }

// tryLock locks the file, unless another has it locked by tryLock. bbolt could not lock
// again what is locked here, not even by the same handle: it is the byte before the one
// that bbolt locks, which is the last that a file could have.
func tryLock(f *os.File) (bool, error) {
	const high, low = 1<<32 - 1, 1<<32 - 2
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: low, OffsetHigh: high})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// ownAs does nothing where a file has the owner of its folder.
func ownAs(string, ...string) error { return nil }
