//go:build linux && (amd64 || arm64)

package disktest

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// outcomes runs a program on a folder with the file "f" of as, and returns what of "f"
// crashes leave, and its content at the end.
func outcomes(t *testing.T, fate func(Change) Fate, program func(dir string) error) (left map[string]bool, d *Disk) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.Fate = fate
	if err := d.Run(func() {
		if err := program(dir); err != nil {
			t.Log(err)
		}
		d.Mark("done")
	}); err != nil {
		t.Fatal(err)
	}
	left = map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	d.Crashes(func(c Crash) bool {
		for range 500 {
			content, there := c.Left(r).Files["f"]
			what := "gone"
			if there {
				what = describe(string(content))
			}
			if len(c.Marks) > 0 {
				what += ", done"
			}
			left[what] = true
		}
		return true
	})
	return left, d
}

var old, anew = strings.Repeat("o", 1200), strings.Repeat("n", 1500)

func describe(content string) string {
	switch content {
	case old:
		return "old"
	case anew:
		return "new"
	case "":
		return "empty"
	}
	return "torn"
}

func replaceFile(sync, syncFolder bool) func(dir string) error {
	return func(dir string) error {
		f, err := os.Create(filepath.Join(dir, "f.new"))
		if err != nil {
			return err
		}
		_, err = f.WriteString(anew)
		if sync && err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if err := os.Rename(f.Name(), filepath.Join(dir, "f")); err != nil || !syncFolder {
			return err
		}
		folder, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(folder.Sync(), folder.Close())
	}
}

func overwrite(dir string) error { return os.WriteFile(filepath.Join(dir, "f"), []byte(anew), 0o600) }

// Each way to write a file leaves what it may leave, and everything that it may leave.
func TestOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		program func(string) error
		want    string
	}{
		"replaced":                  {replaceFile(true, true), "old; new; new, done"},
		"without the folder":        {replaceFile(true, false), "old; new; old, done; new, done"},
		"without fsync of the file": {replaceFile(false, true), "old; new; torn; empty; new, done; torn, done; empty, done"},
		"overwritten":               {overwrite, "old; new; torn; empty; old, done; new, done; torn, done; empty, done"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := outcomes(t, nil, test.program)
			for want := range strings.SplitSeq(test.want, "; ") {
				if !got[want] {
					t.Errorf("no crash left: %s", want)
				}
				delete(got, want)
			}
			if len(got) > 0 {
				t.Errorf("crashes left %v too", got)
			}
		})
	}
}

// A call that fails, is made by half, or is left out.
func TestFates(t *testing.T) {
	only := func(call string, fate Fate) func(Change) Fate {
		return func(c Change) Fate {
			if c.Call == call {
				return fate
			}
			return Fate{}
		}
	}
	got, d := outcomes(t, only("fsync", Fate{Errno: syscall.EIO}), replaceFile(true, true))
	if got["new"] || got["torn"] || !got["old, done"] || d.Changes() != 3 {
		t.Errorf("fsync fails, and the file is replaced all the same: %v", got)
	}
	got, _ = outcomes(t, only("renameat", Fate{Errno: syscall.ENOSPC}), replaceFile(true, true))
	if got["new"] || !got["old, done"] {
		t.Errorf("rename fails: %v", got)
	}
	got, _ = outcomes(t, only("fsync", Fate{Skipped: true}), replaceFile(true, true))
	if !got["torn, done"] || !got["old, done"] {
		t.Errorf("without fsync: %v", got)
	}
	halves := 0
	got, _ = outcomes(t, func(c Change) Fate {
		if c.Call != "pwrite64" {
			return Fate{}
		}
		halves++
		return Fate{Half: halves == 1, Errno: syscall.ENOSPC}
	}, func(dir string) error {
		f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(anew), 0)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("half a write: %v", err)
		}
		return errors.Join(f.Sync(), f.Close())
	})
	if got["new"] || !got["torn, done"] || got["old, done"] {
		t.Errorf("half a write, written through: %v", got)
	}
}

// What fsync failed for is not sure after the next one.
func TestFailedSyncIsForgotten(t *testing.T) {
	syncs := 0
	got, _ := outcomes(t, func(c Change) Fate {
		if c.Call == "fsync" {
			syncs++
			if syncs == 1 {
				return Fate{Errno: syscall.EIO}
			}
		}
		return Fate{}
	}, func(dir string) error {
		f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(anew), 0)
		if f.Sync() == nil {
			t.Error("the first fsync succeeded")
		}
		return errors.Join(err, f.Sync(), f.Close())
	})
	if !got["torn, done"] || !got["new, done"] { // longer already, and old otherwise, is torn too
		t.Errorf("after fsync failed and the next succeeded: %v", got)
	}
}

// A change that is not understood is an error, not overlooked.
func TestMissedChange(t *testing.T) {
	dir := t.TempDir()
	d, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	err = d.Run(func() {
		go func() { done <- os.WriteFile(filepath.Join(dir, "other"), []byte("by another thread"), 0o600) }()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "other (17 bytes)") {
		t.Errorf("error %v, want one that names what was missed", err)
	}
}
