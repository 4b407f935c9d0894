package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
)

// errDamaged is behind every error that is due to the content of the file.
var errDamaged = errors.New("the file is damaged; stop Caddy and restore it from a backup, or move it away to start with an empty one")

// foundDamage is errDamaged, and what is wrong with the file.
type foundDamage string

func (d foundDamage) Error() string { return fmt.Sprintf("%v (%s)", errDamaged, string(d)) }
func (d foundDamage) Unwrap() error { return errDamaged }

func damaged(format string, args ...any) error { return foundDamage(fmt.Sprintf(format, args...)) }

// guarded runs fn and returns its panic as an error: bbolt has no other word
// for a damaged file. A page that points behind the end of the file, which is
// mapped into memory, would even end the process. The file is one site's, and
// the process everybody's.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = asError(p)
		}
	}()
	return fn()
}

// asError tells damage, which bbolt or the processor found, from a mistake in
// this program, for which the stack is needed.
func asError(p any) error {
	if err, ok := p.(error); ok && errors.Is(err, errDamaged) {
		return err
	}
	if _, fault := p.(interface{ Addr() uintptr }); fault || panickedIn("go.etcd.io/bbolt") {
		return damaged("%v", p)
	}
	return fmt.Errorf("boltstore: panic: %v\n%s", p, debug.Stack())
}

// panickedIn reports whether the function that panicked is in the module. It
// is called while the panic is recovered.
func panickedIn(module string) bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for panicking := false; ; {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return strings.HasPrefix(frame.Function, module)
		}
		if !more {
			return false
		}
	}
}

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
	if err := d.writeThrough(); err != nil {
		return fmt.Errorf("boltstore: %s: what it says cannot be written through: %w", d.path, err)
	}
	d.settled = true
	return nil
}

func (d *database) writeThrough() error {
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
