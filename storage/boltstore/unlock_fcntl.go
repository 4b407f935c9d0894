//go:build solaris || illumos || aix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// letGo closes the file, which gives its lock back.
func letGo(f *os.File) error { return f.Close() }

// tryLock locks the file as bbolt does, unless another process has it open.
func tryLock(f *os.File) (bool, error) {
	err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return false, nil
	}
	return err == nil, err
}
