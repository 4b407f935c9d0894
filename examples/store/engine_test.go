package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storage.Store {
		s, err := Open(filepath.Join(folder(t), "store"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func TestSchedules(t *testing.T) {
	simulation.Run(t, simulation.Options{Schedules: 200}, func() (simulation.System, error) {
		path := filepath.Join(folder(t), "store")
		return simulation.System{
			Durable: true,
			Open:    func(simulation.Instance) (storage.Store, error) { return Open(path) },
			Crash: func(s storage.Store) error { // which leaves what is in the file, and half a line
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					return err
				}
				if _, err := f.WriteString(`[{"Key":"aGFsZiBh`); err != nil {
					return err
				}
				return f.Close()
			},
		}, nil
	})
}

// folder is in memory, where there is one: what the disk does is not tested here.
func folder(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
