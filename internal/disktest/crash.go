//go:build linux && (amd64 || arm64)

package disktest

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Crash is a moment at which the power can fail.
type Crash struct {
	// Step is how many steps were made, of how many.
	Step, Of int
	// Marks are those before, see Disk.Mark.
	Marks []any
	state *state
}

// Crashes calls visit for each moment, from before the first step on, as long as it
// returns true.
func (d *Disk) Crashes(visit func(Crash) bool) {
	s := d.before()
	var marks []any
	for n := 0; ; n++ {
		if !visit(Crash{n, len(d.steps), marks, s}) || n == len(d.steps) {
			return
		}
		if d.steps[n].kind == marked {
			marks = append(marks, d.steps[n].mark)
		}
		s.apply(n, d.steps[n])
	}
}

// Left returns one of the folders that can be left, as the random numbers decide. Take
// them from one source for all crashes.
func (c Crash) Left(r *rand.Rand) Folder {
	salt, some, chosen := r.Uint64(), r.IntN(101), r.IntN(c.Step+1)
	// chance is always the same for the same step and sector.
	chance := func(step, sector int) int {
		return int(mixed(salt^mixed(uint64(step)<<32^uint64(uint32(sector)))) % 100)
	}
	latest := c.state.latest()
	return c.state.left([]func(step, sector int) bool{
		func(int, int) bool { return false },                                            // nothing
		func(int, int) bool { return true },                                             // all of it
		func(step, sector int) bool { return chance(step, sector) < some },              // any sectors
		func(step, _ int) bool { return chance(step, 0) < some },                        // any writes, whole
		func(step, _ int) bool { return step < chosen },                                 // the first ones
		func(step, _ int) bool { return step >= chosen },                                // the last ones
		func(step, _ int) bool { return step == latest },                                // the last one alone
		func(step, _ int) bool { return step != latest },                                // all but that
		func(step, sector int) bool { return step != latest || chance(0, sector) < 50 }, // with the last one torn
	}[r.IntN(9)])
}

// mixed is SplitMix64's function: numbers that are close become ones that are not.
func mixed(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// latest returns the newest step that is not on the disk for sure.
func (s *state) latest() (step int) {
	step = -1
	for _, n := range s.pending {
		step = max(step, n)
	}
	for _, f := range s.files {
		for _, versions := range f.sectors {
			step = max(step, versions[len(versions)-1].step)
		}
	}
	return step
}

// Write makes the folder, in place of what is in dir.
func (f Folder) Write(dir string) error {
	err := cmp.Or(os.RemoveAll(dir), os.Mkdir(dir, 0o700))
	for _, name := range f.Folders {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	for name, content := range f.Files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return err
}
