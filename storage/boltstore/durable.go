package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
)

// What a file says need not be on its disk: a process that was killed left what it had
// not written through to the system, and where fsync failed, the system forgets what it
// was for. To go on from there would be to overwrite what the disk still needs, or to
// write into a file whose name is lost. So the names that lead to the file and the two
// pages that it begins with are written through before anything else is, and after a
// commit that failed those pages are what they were.

// stateLength is the part of one of the two pages that says something. It is within
// one sector of a disk, so it is written whole or not at all.
const stateLength = pageHeader + metaLength

// errUnsure is what a database is broken by when nobody knows what is on its disk.
var errUnsure = errors.New("its disk failed, and it is not known whether the last change was stored; restart Caddy, which looks")

// settle writes through what the file says, unless that was done.
func (d *database) settle() error {
	if d.settled {
		return nil
	}
	for page := range uint64(2) {
		if err := d.putState(page, d.readState(page)); err != nil {
			return err
		}
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	path, err := filepath.Abs(d.path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err == nil {
		err = newfile.SyncNames(path)
	}
	d.settled = err == nil
	return err
}

// readState returns what one of the two pages says; nil if it cannot be read.
func (d *database) readState(page uint64) []byte {
	b := make([]byte, stateLength)
	if _, err := d.file.ReadAt(b, int64(page)*int64(d.pageSize)); err != nil {
		return nil
	}
	return b
}

func (d *database) putState(page uint64, b []byte) error {
	if b == nil {
		return errors.New("it cannot be read")
	}
	_, err := d.file.WriteAt(b, int64(page)*int64(d.pageSize))
	return err
}

// remember keeps what a commit is to replace.
func (d *database) remember(tx *bbolt.Tx) {
	d.replacing = uint64(tx.ID()) % 2
	d.former = d.readState(d.replacing)
}

// undo takes back the newest state that a failed commit has written, but perhaps not
// written through: everybody would see it, though it was refused. Who has begun to read
// it must not go on, for its pages are free again.
func (d *database) undo() {
	d.beginning.Lock()
	defer d.beginning.Unlock()
	if bytes.Equal(d.readState(d.replacing), d.former) {
		return
	}
	err := d.putState(d.replacing, d.former)
	if err == nil {
		err = d.file.Sync()
	}
	if err == nil && d.readers[d.replacing].Load() > 0 {
		err = errors.New("somebody reads what was taken back")
	}
	if err != nil {
		d.breakDown(fmt.Errorf("boltstore: %s: %w (%w)", d.path, errUnsure, err))
	}
}
