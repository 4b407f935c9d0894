//go:build linux && (amd64 || arm64)

package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is a folder that is recorded.
type Disk struct {
	// Fate decides what becomes of each change, unless it is nil.
	Fate func(Change) Fate

	dir   string
	first map[string]int // what was there at the start
	was   map[int][]byte
	nodes map[uint64]int // files by inode
	last  int
	now   *state
	steps []step

	mu      sync.Mutex
	changes int
	settle  func() // records the last call once it was made
	failure error
}

// Change is a call that changes the folder, or writes it through.
type Change struct {
	Number int    // counted from 0
	Call   string // such as pwrite64
	Name   string // in the folder
}

// Fate is what becomes of a change. The zero value is that it is made.
type Fate struct {
	// Errno is what it fails with.
	Errno syscall.Errno
	// Half has a write fail after its first half.
	Half bool
	// Killed has nothing be made: the program is no more.
	Killed bool
	// Skipped has the call do nothing and succeed, as if the program had left it out.
	Skipped bool
}

// New returns the disk under a folder. What is in it is on the disk.
func New(dir string) (*Disk, error) {
	d := &Disk{dir: dir, first: map[string]int{}, was: map[int][]byte{}, nodes: map[uint64]int{}}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		id, err := d.node(path)
		if err != nil {
			return err
		}
		d.first[path[len(dir)+1:]] = id
		if entry.IsDir() {
			d.was[id] = nil
			return nil
		}
		d.was[id], err = os.ReadFile(path)
		return err
	})
	d.now = d.before()
	return d, err
}

// before returns the state before the first step.
func (d *Disk) before() *state {
	s := &state{files: map[int]*file{}, cached: maps.Clone(d.first), sure: maps.Clone(d.first), steps: d.steps}
	for id, content := range d.was {
		s.files[id] = &file{folder: content == nil, cached: slices.Clone(content), sure: slices.Clone(content)}
	}
	return s
}

// Run runs the program and records what it does with the folder. In the end it
// compares the record with the folder: a change that it missed is an error.
func (d *Disk) Run(program func()) error {
	err := trap(program, d.decide)
	d.settled()
	return errors.Join(err, d.failure, d.compare())
}

// Mark records something that the program tells of itself.
func (d *Disk) Mark(what any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settledLocked()
	d.record(step{kind: marked, mark: what})
}

// Changes returns how many there were.
func (d *Disk) Changes() int { return d.changes }

func (d *Disk) record(s step) {
	d.steps = append(d.steps, s)
	d.now.steps = d.steps
	d.now.apply(len(d.steps)-1, s)
}

func (d *Disk) settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settledLocked()
}

func (d *Disk) settledLocked() {
	if settle := d.settle; settle != nil {
		d.settle = nil
		settle()
	}
}

// node returns the number of a file, by its path.
func (d *Disk) node(path string) (int, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return 0, err
	}
	return d.nodeOf(stat), nil
}

func (d *Disk) nodeOf(stat unix.Stat_t) int {
	if _, known := d.nodes[stat.Ino]; !known {
		d.newNode(stat)
	}
	return d.nodes[stat.Ino]
}

// newNode gives a file a number that no other had: inodes are used again.
func (d *Disk) newNode(stat unix.Stat_t) int {
	d.last++
	d.nodes[stat.Ino] = d.last
	return d.last
}

// name returns the name of a path in the folder.
func (d *Disk) name(path string) (name string, is bool) {
	path = strings.TrimSuffix(path, " (deleted)")
	if path == d.dir {
		return ".", true
	}
	return strings.CutPrefix(path, d.dir+"/")
}

// compare looks whether the folder is what was recorded.
func (d *Disk) compare() error {
	want, got := d.now.seen(), Folder{Files: map[string][]byte{}}
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := d.name(path)
		switch {
		case err != nil || name == ".":
			return err
		case entry.IsDir():
			got.Folders = append(got.Folders, name)
			return nil
		}
		got.Files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return err
	}
	if !slices.Equal(got.Folders, want.Folders) || !maps.EqualFunc(got.Files, want.Files, bytes.Equal) {
		return fmt.Errorf("disktest: the folder has %v, recorded were %v", got, want)
	}
	return nil
}

// String lists the files with their sizes.
func (f Folder) String() (text string) {
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		text += fmt.Sprintf("%s (%d bytes) ", name, len(f.Files[name]))
	}
	return fmt.Sprint(f.Folders, text)
}
