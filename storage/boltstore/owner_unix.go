//go:build unix

package boltstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ownAs gives a file the owner of another one, or of its folder: what an administrator
// restores or compacts belongs to the user that runs Caddy. Nobody else can, nor has to.
func ownAs(path string, like ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return own(path, like...)
}

// own gives a file the owner of the first of others that is there.
func own(path string, like ...string) error {
	for _, name := range like {
		if info, err := os.Stat(name); err == nil {
			if of, ok := info.Sys().(*syscall.Stat_t); ok {
				return giveTo(path, int(of.Uid), int(of.Gid))
			}
		}
	}
	return nil
}

// giveTo changes the owner of a file that has no other name. The folder may be that of
// a user who puts there, in its place, a link to what an administrator alone may read.
func giveTo(path string, uid, gid int) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if is, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || is.Nlink != 1 {
		return errors.Join(fmt.Errorf("%s was replaced by something else meanwhile", path), f.Close())
	}
	return errors.Join(f.Chown(uid, gid), f.Close())
}
