//go:build linux && (amd64 || arm64)

package disktest

import (
	"maps"
	"path"
	"slices"
)

const sectorSize = 512

// step is one thing that happened to a folder, or that the program told of itself.
type step struct {
	kind   kind
	file   int
	at     int
	data   []byte
	length int
	folder string
	names  map[string]int // in it; 0 is no file
	made   bool           // the name is of a new folder
	mark   any
}

type kind int

const (
	written kind = iota
	resized
	synced
	syncFailed
	renamed // also created, linked, removed
	folderSynced
	marked
)

// state is what a disk and the kernel's memory of it hold.
type state struct {
	files   map[int]*file
	cached  map[string]int // names, as programs see them
	sure    map[string]int // as they are on the disk
	pending []int          // steps that changed names since
	steps   []step
}

// file is one file, or a folder.
type file struct {
	folder  bool
	cached  []byte
	sure    []byte
	sectors map[int][]version // that changed since, by number
	lengths []version
}

// version is what a sector became, or a length.
type version struct {
	step   int
	data   []byte
	length int
	// unsure is set once writing it through failed: it may be on the disk or not,
	// and nobody tries again.
	unsure bool
}

// apply makes the state the one after the step, which is number n.
func (s *state) apply(n int, what step) {
	switch what.kind {
	case written:
		s.file(what.file).write(n, what.at, what.data)
	case resized:
		s.file(what.file).resize(n, what.length)
	case synced:
		s.file(what.file).sync()
	case syncFailed:
		s.file(what.file).doubt()
	case renamed:
		s.pending = append(s.pending, n)
		set(s.cached, what.names)
		for _, id := range what.names {
			s.file(id).folder = s.file(id).folder || what.made
		}
	case folderSynced:
		s.pending = slices.DeleteFunc(s.pending, func(n int) bool {
			if s.steps[n].folder != what.folder {
				return false
			}
			set(s.sure, s.steps[n].names)
			return true
		})
	}
}

func (s *state) file(id int) *file {
	if s.files[id] == nil {
		s.files[id] = new(file)
	}
	return s.files[id]
}

func set(names, changes map[string]int) {
	for name, id := range changes {
		if id == 0 {
			delete(names, name)
		} else {
			names[name] = id
		}
	}
}

func (f *file) write(n, at int, data []byte) {
	if end := at + len(data); end > len(f.cached) {
		f.cached = resize(f.cached, end)
		f.lengths = append(f.lengths, version{step: n, length: end})
	}
	copy(f.cached[at:], data)
	f.touch(n, at, at+len(data))
}

func (f *file) resize(n, length int) {
	before := len(f.cached)
	f.cached = resize(f.cached, length)
	f.lengths = append(f.lengths, version{step: n, length: length})
	f.touch(n, length, before)
}

// touch notes the sectors from and to as they are now.
func (f *file) touch(n, from, to int) {
	if f.sectors == nil {
		f.sectors = map[int][]version{}
	}
	for sector := from / sectorSize; sector*sectorSize < to; sector++ {
		data := make([]byte, sectorSize)
		if begin := sector * sectorSize; begin < len(f.cached) {
			copy(data, f.cached[begin:])
		}
		f.sectors[sector] = append(f.sectors[sector], version{step: n, data: data})
	}
}

func resize(b []byte, length int) []byte {
	if length <= len(b) {
		return b[:length:length] // what was cut is zeros if it comes back
	}
	return append(b, make([]byte, length-len(b))...)
}

// sync: all that was written is on the disk, other than what was given up.
func (f *file) sync() {
	if last := len(f.lengths) - 1; last >= 0 {
		f.sure, f.lengths = resize(f.sure, f.lengths[last].length), nil
	}
	for sector, versions := range f.sectors {
		last := versions[len(versions)-1]
		if last.unsure {
			continue
		}
		if begin := sector * sectorSize; begin < len(f.sure) {
			copy(f.sure[begin:], last.data)
		}
		delete(f.sectors, sector)
	}
}

// doubt: writing through failed. The length, which the file system keeps in its
// journal, is tried again.
func (f *file) doubt() {
	for _, versions := range f.sectors {
		for i := range versions {
			versions[i].unsure = true
		}
	}
}

// Folder is what is in a folder: the content of each file by its path.
type Folder struct {
	Files   map[string][]byte
	Folders []string
}

// left returns what a crash leaves, if it keeps those changes for which keeps reports
// true. A step that changed names is asked about as sector -1, a length as -2.
func (s *state) left(keeps func(step, sector int) bool) Folder {
	names := maps.Clone(s.sure)
	for _, n := range s.pending {
		if keeps(n, -1) {
			set(names, s.steps[n].names)
		}
	}
	return s.folder(names, func(f *file) []byte { return f.left(keeps) })
}

// seen returns what programs see.
func (s *state) seen() Folder { return s.folder(s.cached, func(f *file) []byte { return f.cached }) }

func (s *state) folder(names map[string]int, content func(*file) []byte) Folder {
	all := Folder{Files: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch f := s.file(names[name]); {
		case path.Dir(name) != "." && !slices.Contains(all.Folders, path.Dir(name)): // is gone with its folder
		case f.folder:
			all.Folders = append(all.Folders, name)
		default:
			all.Files[name] = content(f)
		}
	}
	return all
}

func (f *file) left(keeps func(step, sector int) bool) []byte {
	length := len(f.sure)
	for _, v := range f.lengths {
		if keeps(v.step, -2) {
			length = v.length
		}
	}
	content := resize(slices.Clone(f.sure), length)
	for sector, versions := range f.sectors {
		if sector*sectorSize >= length {
			continue
		}
		for _, v := range versions {
			if keeps(v.step, sector) {
				copy(content[sector*sectorSize:], v.data)
			}
		}
	}
	return content
}
