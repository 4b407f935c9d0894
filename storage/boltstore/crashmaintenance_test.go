//go:build linux && (amd64 || arm64)

package boltstore

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/disktest"
)

// Whenever the power fails during a backup, a restore, a compaction, a migration or a
// change of the key: the database is there and whole, what it was or what it shall be,
// and a backup is whole or not there. When the command has ended, it is what it shall be.
func TestMaintenanceCrashes_M15(t *testing.T) {
	for op := range interruptible {
		t.Run(op, func(t *testing.T) {
			path := template(t, op)
			disk, err := disktest.New(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			err = disk.Run(func() {
				if err := interruptible[op](t, path); err != nil {
					t.Error(err)
				}
				disk.Mark("done")
			})
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 0))
			dir := scratch(t)
			tried, done := 0, 0
			disk.Crashes(func(c disktest.Crash) bool {
				every := max(1, *crashes/10/c.Of) // of ten operations about as many as of lives
				if *crashes/10 < c.Of && r.IntN(c.Of) >= *crashes/10 && c.Step < c.Of {
					return true
				}
				for range every {
					tried++
					left := c.Left(r)
					if err := left.Write(dir); err != nil {
						t.Fatal(err)
					}
					at := filepath.Join(dir, filepath.Base(path))
					if len(c.Marks) > 0 {
						done++
						wantDone(t, op, at)
					}
					if op != "reseal" || len(c.Marks) > 0 {
						afterKill(t, op, at)
					} else if _, err := CheckFile(t.Context(), at, checker(t, 2, 1)); err != nil {
						t.Error(err)
					}
					if t.Failed() {
						t.Logf("crash after step %d of %d, which left %v", c.Step, c.Of, left)
						return false
					}
				}
				return true
			})
			t.Logf("%d changes, %d crashes, %d of them when it was done", disk.Changes(), tried, done)
			if done == 0 {
				t.Error("no crash when it was done")
			}
		})
	}
}

// wantDone: what the command said it did is there.
func wantDone(t *testing.T, op, path string) {
	t.Helper()
	r, err := CheckFile(t.Context(), path, checker(t, 2, 1))
	if err != nil {
		t.Errorf("when it was done: %v", err)
		return
	}
	want := map[string]string{"backup": ".backup", "restore": ".before-restore-*", "migrate": ".schema-2"}[op]
	if found, _ := filepath.Glob(path + want); want != "" && len(found) != 1 {
		t.Errorf("%s has %d copies, want one", op, len(found))
	}
	if op == "restore" && r.Records["access token"] > 0 {
		t.Errorf("when it was done, it is the database before: %v", r.Records)
	}
}
