//go:build unix && !solaris && !illumos && !aix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// letGo closes the file, and gives its lock back: closing alone does not, as
// long as the file is mapped into memory.
func letGo(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// tryLock locks the file as bbolt does, unless another has it open. The lock is the open
// file's: bbolt can lock that once more.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
