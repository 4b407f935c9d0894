package simulation_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/simulation"
)

var (
	schedules = flag.Int("schedules", usualSchedules, "how many schedules to run on each store")
	seed      = flag.Uint64("seed", 1, "that of the first schedule")
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // models are made and dropped all the time
	goleak.VerifyTestMain(m)
}

// stores are those that need nothing but Go.
var stores = map[string]func() (simulation.System, error){"memory": inMemory, "bbolt": inFile}

func inMemory() (simulation.System, error) {
	return simulation.System{Open: func(simulation.Instance) (storage.Store, error) { return memstore.New(), nil }}, nil
}

// inFile keeps the file in memory, where there is such a folder: what the disk does
// is not simulated here. A process that crashes leaves the file as it is, open.
func inFile() (simulation.System, error) {
	memory := "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		memory = ""
	}
	dir, err := os.MkdirTemp(memory, "simulation")
	if err != nil {
		return simulation.System{}, err
	}
	path, crashes := filepath.Join(dir, "0.db"), 0
	return simulation.System{
		Durable: true,
		Open:    func(simulation.Instance) (storage.Store, error) { return boltstore.Open(path, boltstore.Options{}) },
		Crash: func(s storage.Store) error {
			before := path
			crashes++
			path = filepath.Join(dir, fmt.Sprint(crashes, ".db"))
			return errors.Join(copyFile(path, before), s.Close())
		},
		Close: func() error { return os.RemoveAll(dir) },
	}, nil
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// No order of the calls is needed that the store did not have: codes are claimed
// once, families have one head, and so on. -schedules 100000 is the long form.
func TestSchedules_B09_D13(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			simulation.Run(t, simulation.Options{Schedules: *schedules, Seed: *seed, Parallel: runtime.GOMAXPROCS(0)}, open)
		})
	}
}

// The same with calls that are really made at once.
func TestRaces(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			report := simulation.Run(t, simulation.Options{Schedules: min(*schedules, 100), Seed: *seed, Racing: true}, open)
			if report.Calls < 100 {
				t.Errorf("%d calls", report.Calls)
			}
		})
	}
}

// A seed says all that happens.
func TestSameSeedSameHistory(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			hashes := map[string]bool{}
			for seed := range uint64(50) {
				first, err := simulation.One(seed, simulation.Options{}, open)
				if err != nil {
					t.Fatal(err)
				}
				second, err := simulation.One(seed, simulation.Options{}, open)
				if err != nil {
					t.Fatal(err)
				}
				if first.Hash != second.Hash {
					t.Errorf("seed %d: history %s, and then %s", seed, first.Hash, second.Hash)
				}
				hashes[first.Hash] = true
			}
			if len(hashes) != 50 {
				t.Errorf("50 seeds made %d histories", len(hashes))
			}
		})
	}
}

// Whoever adds a verb to storage.Store makes schedules call it.
func TestEveryVerbIsCalled(t *testing.T) {
	missing := map[string]bool{}
	for _, verb := range (simulation.Report{}).Missing() {
		missing[strings.Fields(verb)[0]] = true
	}
	verbs := reflect.TypeFor[storage.Store]()
	for i := range verbs.NumMethod() {
		if verb := verbs.Method(i).Name; verb != "Close" && !missing[verb] {
			t.Errorf("no schedule has to call %s", verb)
		}
	}
}
