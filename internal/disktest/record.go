//go:build linux && (amd64 || arm64)

package disktest

import (
	"errors"
	"fmt"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// decide answers a call that the program is about to make.
func (d *Disk) decide(c call) answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settledLocked() // the one before was made by now
	what := d.understand(c)
	if what == nil {
		return answer{made: true}
	}
	if what.instead != 0 {
		return answer{errno: what.instead}
	}
	var fate Fate
	if d.Fate != nil {
		fate = d.Fate(Change{d.changes, what.call, what.name})
	}
	d.changes++
	switch {
	case fate.Killed:
		return answer{errno: syscall.EIO}
	case fate.Skipped:
		return answer{}
	case fate.Half && len(what.data) > 1:
		return d.half(c, what)
	case fate.Errno != 0:
		if what.failed != nil {
			what.failed()
		}
		return answer{errno: fate.Errno}
	}
	d.settle = what.record
	return answer{made: true}
}

// change is a call that is understood.
type change struct {
	call, name string
	data       []byte        // of a write
	at         int           // where
	record     func()        // once it was made
	failed     func()        // if it fails
	instead    syscall.Errno // it must not be made, and the program can do without
}

// half makes the first half of a write itself.
func (d *Disk) half(c call, what *change) answer {
	what.data = what.data[:len(what.data)/2]
	n, err := unix.Pwrite(int(c.args[0]), what.data, int64(what.at))
	if err != nil || n != len(what.data) || c.number != unix.SYS_PWRITE64 {
		d.fail("half a write of %s: %d, %v", what.name, n, err)
	}
	what.record()
	return answer{value: int64(n)}
}

func (d *Disk) fail(format string, args ...any) {
	d.failure = errors.Join(d.failure, fmt.Errorf("disktest: "+format, args...))
}

// understand returns what a call changes in the folder, or nil if it changes nothing there.
func (d *Disk) understand(c call) *change {
	switch c.number {
	case unix.SYS_OPENAT:
		return d.open(c)
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT:
		return d.rename(c)
	case unix.SYS_UNLINKAT:
		return d.unlink(c)
	case unix.SYS_MKDIRAT:
		return d.mkdir(c)
	case unix.SYS_COPY_FILE_RANGE, unix.SYS_SENDFILE, unix.SYS_SPLICE:
		return &change{instead: syscall.ENOSYS} // then Go reads and writes
	case unix.SYS_TRUNCATE, unix.SYS_MSYNC:
		d.fail("system call %d, which is not understood", c.number)
		return nil
	}
	var stat unix.Stat_t
	fd := int(int32(c.args[0]))
	at, _ := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
	name, ours := d.name(at)
	if !ours || unix.Fstat(fd, &stat) != nil {
		return nil
	}
	return d.toFile(c, fd, name, d.nodeOf(stat))
}

// toFile understands a call that names an open file.
func (d *Disk) toFile(c call, fd int, name string, id int) *change {
	switch c.number {
	case unix.SYS_PWRITE64, unix.SYS_WRITE:
		w := &change{call: "pwrite64", name: name, data: memory(c.args[1], c.args[2]), at: int(c.args[3])}
		if c.number == unix.SYS_WRITE {
			at, err := unix.Seek(fd, 0, 1)
			if err != nil {
				d.fail("a write to %s: %v", name, err)
			}
			w.call, w.at = "write", int(at)
		}
		if uint64(len(w.data)) != c.args[2] {
			d.fail("a write of %d bytes to %s cannot be read", c.args[2], name)
		}
		w.record = func() { d.record(step{kind: written, file: id, at: w.at, data: w.data}) }
		return w
	case unix.SYS_FTRUNCATE:
		return &change{call: "ftruncate", name: name, record: func() {
			d.record(step{kind: resized, file: id, length: int(c.args[1])})
		}}
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		sync := &change{call: "fdatasync", name: name,
			record: func() { d.record(step{kind: synced, file: id}) },
			failed: func() { d.record(step{kind: syncFailed, file: id}) },
		}
		if c.number == unix.SYS_FSYNC {
			sync.call = "fsync"
		}
		if name == "." || d.now.file(id).folder {
			sync.record, sync.failed = func() { d.record(step{kind: folderSynced, folder: name}) }, nil
		}
		return sync
	}
	d.fail("system call %d to %s, which is not understood", c.number, name)
	return nil
}

// named returns the name in the folder of a path that a call has.
func (d *Disk) named(dirfd, at uint64) (file, name string, ours bool) {
	file = text(at)
	if int32(dirfd) != unix.AT_FDCWD && !path.IsAbs(file) {
		return file, "", false
	}
	name, ours = d.name(path.Clean(file))
	return file, name, ours
}

func (d *Disk) open(c call) *change {
	file, name, ours := d.named(c.args[0], c.args[1])
	if flags := int(c.args[2]); !ours || flags&(unix.O_CREAT|unix.O_TRUNC) == 0 {
		return nil
	}
	var before unix.Stat_t
	if existed := unix.Lstat(file, &before) == nil; existed {
		if int(c.args[2])&unix.O_TRUNC == 0 || before.Size == 0 {
			return nil
		}
		return &change{call: "openat", name: name, record: func() {
			d.record(step{kind: resized, file: d.nodeOf(before)})
		}}
	}
	return &change{call: "openat", name: name, record: func() {
		var stat unix.Stat_t
		if unix.Lstat(file, &stat) == nil {
			d.rename1(name, d.newNode(stat))
		}
	}}
}

// rename1 records that one name leads to a file, or to none.
func (d *Disk) rename1(name string, id int) {
	d.record(step{kind: renamed, folder: path.Dir(name), names: map[string]int{name: id}})
}

func (d *Disk) rename(c call) *change {
	from, fromName, _ := d.named(c.args[0], c.args[1])
	to, toName, ours := d.named(c.args[2], c.args[3])
	if !ours {
		return nil
	}
	id, err := d.node(from)
	if err != nil {
		return nil
	}
	if path.Dir(fromName) != path.Dir(toName) {
		d.fail("%s becomes %s, in another folder", fromName, toName)
	}
	links := c.number == unix.SYS_LINKAT
	call := map[bool]string{true: "linkat", false: "renameat"}[links]
	return &change{call: call, name: toName, record: func() {
		if now, err := d.node(to); err != nil || now != id {
			return // it failed
		}
		names := map[string]int{toName: id}
		if !links {
			names[fromName] = 0
		}
		d.record(step{kind: renamed, folder: path.Dir(toName), names: names})
	}}
}

func (d *Disk) unlink(c call) *change {
	file, name, ours := d.named(c.args[0], c.args[1])
	var stat unix.Stat_t
	if !ours || unix.Lstat(file, &stat) != nil {
		return nil
	}
	return &change{call: "unlinkat", name: name, record: func() {
		if unix.Lstat(file, &stat) != nil {
			d.rename1(name, 0)
		}
	}}
}

func (d *Disk) mkdir(c call) *change {
	file, name, ours := d.named(c.args[0], c.args[1])
	var stat unix.Stat_t
	if !ours || unix.Lstat(file, &stat) == nil {
		return nil
	}
	return &change{call: "mkdirat", name: name, record: func() {
		if unix.Lstat(file, &stat) == nil {
			d.record(step{kind: renamed, folder: path.Dir(name), names: map[string]int{name: d.newNode(stat)}, made: true})
		}
	}}
}
