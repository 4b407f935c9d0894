// Package newfile creates files that are complete, or not there at all: a
// process may be killed, and a machine lose its power, at any moment. It never
// changes a file that exists.
package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Create makes the file at path, for its owner alone, with what write puts into
// it, and returns when it is on disk. If there is one already, it stays as it
// is, and the error is fs.ErrExist.
func Create(path string, write func(*os.File) error) error {
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	// In the same folder, and so on the same disk. It has the mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := fill(f, write); err != nil {
		return err
	}
	if err := publish(f.Name(), path); err != nil {
		return err
	}
	removeLeftovers(path)
	return SyncFolder(filepath.Dir(path))
}

func fill(f *os.File, write func(*os.File) error) error {
	err := write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish gives the file its name, unless somebody was faster: a link fails
// then, where renaming would replace. Not every file system has links.
func publish(temporary, path string) error {
	err := os.Link(temporary, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return os.Rename(temporary, path)
}

// removeLeftovers removes what is left of attempts that were killed. Somebody
// who is at it right now has come too late anyway.
func removeLeftovers(path string) {
	leftovers, _ := filepath.Glob(filepath.Join(filepath.Dir(path), filepath.Base(path)+".*.new"))
	for _, name := range leftovers {
		_ = os.Remove(name)
	}
}

// SyncNames puts the name of a file that exists on disk, with those of the folders that
// it is in: whoever made them may have been killed before. Where a file system has no
// such thing, or does not let us, there is nothing to be done.
func SyncNames(path string) error {
	for folder := filepath.Dir(path); ; folder = filepath.Dir(folder) {
		err := SyncFolder(folder)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
		if folder == filepath.Dir(folder) {
			return nil
		}
	}
}

// SyncFolder puts the name of a new file on disk.
func SyncFolder(name string) error {
	if runtime.GOOS == "windows" { // has no such thing
		return nil
	}
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Replace makes the file at path anew, for its owner alone, in place of the one that
// may be there, and returns when that is on disk. Until then the other one stays as it
// is. Two at a time for the same path are not meant.
func Replace(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := fill(f, write); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	removeLeftovers(path)
	return SyncFolder(filepath.Dir(path))
}
