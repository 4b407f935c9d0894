//go:build linux && (amd64 || arm64)

package boltstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/disktest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

var (
	crashes   = flag.Int("crashes", usualCrashes, "how many crashes TestCrashes tries")
	crashSeed = flag.Uint64("crash-seed", 1, "where TestCrashes begins")
)

// crashesPerLife is how many crashes are tried of one life of a database.
const crashesPerLife = 100

// Whenever the power fails, and whatever of the writes since the last fsync the disk
// keeps, loses or tears: the database opens, has all that was acknowledged and nothing
// that was refused, has no half transaction, and can be worked with. So it is after
// disks that were full or failed, and after the process was killed in between.
func TestCrashes(t *testing.T) {
	var all tally
	for seed := *crashSeed; all.crashes < *crashes && !t.Failed(); seed++ {
		l := newLife(t, seed, &all)
		l.begin(t)
		l.crash(t, min(crashesPerLife, *crashes-all.crashes))
		all.lives++
	}
	t.Logf("%d crashes of %d lives: %d changes to disks, %d transactions acknowledged, %d refused, %d kills, %d faults; %d crashes kept what was in doubt, %d lost it, %d were before the database was made",
		all.crashes, all.lives, all.changes, all.acknowledged, all.refused, all.kills, all.faults, all.doubtKept, all.doubtLost, all.early)
	if *crashes >= 1000 && (all.kills == 0 || all.faults == 0 || all.refused == 0 || all.doubtKept == 0 || all.doubtLost == 0 || all.early == 0) {
		t.Error("some of that never happened")
	}
}

type tally struct {
	crashes, lives, changes, acknowledged, refused, kills, faults, doubtKept, doubtLost, early int
}

// What a program would do that left out a call that writes through is found: the
// crashes are such that every one of them is needed.
func TestCrashesFindWhatIsLeftOut(t *testing.T) {
	count := map[string]int{}
	every := func(call string, of, which int) func(disktest.Change) bool {
		return func(c disktest.Change) bool {
			if c.Call != call || !strings.HasSuffix(c.Name, ".db") {
				return false
			}
			count[t.Name()]++
			return count[t.Name()]%of == which
		}
	}
	for name, leaves := range map[string]func(disktest.Change) bool{
		"no fsync":                     func(c disktest.Change) bool { return strings.HasSuffix(c.Call, "sync") },
		"none before the newest state": every("fdatasync", 2, 0),
		"none after the newest state":  every("fdatasync", 2, 1),
		"none of a folder":             func(c disktest.Change) bool { return c.Call == "fsync" && (c.Name == "." || c.Name == "data") },
		"none of a new file": func(c disktest.Change) bool {
			return strings.HasSuffix(c.Name, ".new") && strings.HasSuffix(c.Call, "sync")
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed < 20; seed++ {
				l := newLife(t, seed, new(tally))
				l.leaves, l.faulty = leaves, false
				l.begin(t)
				if l.crashUntil(t, 200) != nil {
					return
				}
			}
			t.Error("nothing was found")
		})
	}
}

// life is a database from its creation on, on a disk that is recorded.
type life struct {
	seed   uint64
	rand   *rand.Rand
	disk   *disktest.Disk
	dir    string
	leaves func(disktest.Change) bool // calls that the program leaves out
	faulty bool                       // the disk fails, and the process is killed
	dead   atomic.Bool                // it was killed; another thread decides that
	tally  *tally

	state map[string]string // of the database, as it was acknowledged
	now   time.Time
	n     int
}

// What a life marks in the record.
type (
	opened  struct{ state [32]byte } // the database is open, and this is in it
	planned struct{ state [32]byte } // a transaction is to be committed
	told    struct{ state [32]byte } // its caller knows: it was committed, or refused
)

func newLife(t *testing.T, seed uint64, all *tally) *life {
	l := &life{seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir(), tally: all, faulty: seed%2 == 0, state: map[string]string{}, now: someTime}
	var err error
	if l.disk, err = disktest.New(l.dir); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *life) path() string { return filepath.Join(l.dir, "data", "mcp_oauth.db") }

// begin lets the database live: it is opened, worked with and closed, again and again.
func (l *life) begin(t *testing.T) {
	failing := 0 // changes that fail from now on
	var errno syscall.Errno
	half := false
	kills, faults := 0, 0
	chance := rand.New(rand.NewPCG(l.seed, 1)) // that of the life is another thread's
	l.disk.Fate = func(c disktest.Change) disktest.Fate {
		switch {
		case l.dead.Load():
			return disktest.Fate{Killed: true}
		case l.leaves != nil && l.leaves(c):
			return disktest.Fate{Skipped: true}
		case !l.faulty:
			return disktest.Fate{}
		case failing > 0:
			failing--
			return disktest.Fate{Errno: errno, Half: half && failing > 0}
		}
		switch n := chance.IntN(200); {
		case n < 4:
			kills++
			l.dead.Store(true)
			return disktest.Fate{Killed: true}
		case n < 12:
			faults++
			errno, failing, half = syscall.EIO, chance.IntN(3), c.Call == "pwrite64" && chance.IntN(2) == 0
			if n < 8 && !strings.HasSuffix(c.Call, "sync") {
				errno = syscall.ENOSPC
			}
			return disktest.Fate{Errno: errno, Half: half && failing > 0}
		}
		return disktest.Fate{}
	}
	err := l.disk.Run(func() {
		for range 2 + l.rand.IntN(3) {
			l.dead.Store(false)
			l.work(t, 4+l.rand.IntN(12))
		}
	})
	if err != nil {
		t.Fatalf("seed %d: %v", l.seed, err)
	}
	l.tally.changes += l.disk.Changes()
	l.tally.kills += kills
	l.tally.faults += faults
}

// work is one process at work.
func (l *life) work(t *testing.T, verbs int) {
	e, err := openEngine(l.path(), Options{}, bbolt.Options{})
	if err != nil {
		if !l.faulty {
			t.Errorf("seed %d: open: %v", l.seed, err)
		}
		return
	}
	defer func() { _ = e.Close() }()
	l.state = contents(t, e)
	if e.db.settled {
		l.disk.Mark(opened{digest(l.state)})
	} else {
		l.disk.Mark(planned{digest(l.state)})
	}
	s := kv.New(&witness{engine: e, life: l})
	for range verbs {
		if l.dead.Load() {
			return
		}
		err := l.verb(s)
		if err != nil && !l.faulty {
			t.Errorf("seed %d: %v", l.seed, err)
		}
		if e.db.broken() != nil {
			return // nobody knows any more, until it is opened again
		}
		if got := contents(t, e); !l.dead.Load() && !maps.Equal(got, l.state) {
			t.Errorf("seed %d: after a transaction with the outcome %v the database has other records than were acknowledged", l.seed, err)
			return
		}
	}
}

// witness is the engine, whose transactions are marked in the record.
type witness struct {
	*engine
	life *life
}

func (e *witness) Update(ctx context.Context, fn func(kv.Tx) error) error {
	l := e.life
	var next map[string]string
	err := e.engine.Update(ctx, func(t kv.Tx) error {
		noted := &notedTx{Tx: t, state: maps.Clone(l.state)}
		if err := fn(noted); err != nil {
			return err
		}
		next = noted.state
		l.disk.Mark(planned{digest(next)})
		return nil
	})
	switch {
	case err == nil:
		l.state = next
		l.tally.acknowledged++
		l.disk.Mark(told{digest(next)})
	case l.dead.Load():
	case e.db.broken() != nil, !e.db.settled:
		l.tally.refused++
	default:
		l.tally.refused++
		l.disk.Mark(told{digest(l.state)})
	}
	return err
}

type notedTx struct {
	kv.Tx
	state map[string]string
}

func (t *notedTx) Put(key, value []byte) error {
	t.state[string(key)] = string(value)
	return t.Tx.Put(key, value)
}

func (t *notedTx) Delete(key []byte) error {
	delete(t.state, string(key))
	return t.Tx.Delete(key)
}

func contents(t *testing.T, e *engine) map[string]string {
	all := map[string]string{}
	err := e.View(background(), func(r kv.Reader) error {
		for key, value := range r.Scan(nil) {
			all[string(key)] = string(value)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

func digest(state map[string]string) (sum [32]byte) {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(state)) {
		fmt.Fprintf(h, "%q=%q\n", key, state[key])
	}
	h.Sum(sum[:0])
	return sum
}

// crash tries crashes, and fails the test for the first that leaves what it must not.
func (l *life) crash(t *testing.T, n int) {
	if err := l.crashUntil(t, n); err != nil {
		t.Error(err)
	}
}

func (l *life) crashUntil(t *testing.T, n int) (failure error) {
	dir := scratch(t)
	var moments int
	l.disk.Crashes(func(c disktest.Crash) bool { moments = c.Of + 1; return false })
	at := make([]int, moments)
	for range n {
		at[l.rand.IntN(moments)]++
	}
	l.disk.Crashes(func(c disktest.Crash) bool {
		for range at[c.Step] {
			left := c.Left(l.rand)
			l.tally.crashes++
			if err := l.judge(t, c, left, dir); err != nil {
				failure = fmt.Errorf("seed %d, crash after step %d of %d, which left %v: %w", l.seed, c.Step, c.Of, left, err)
				return false
			}
		}
		return true
	})
	return failure
}

// scratch returns a folder for what crashes leave, in memory if there is such a place.
func scratch(t *testing.T) string {
	parent := "/dev/shm"
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent = t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "crash")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "disk")
}

// judge opens what a crash left.
func (l *life) judge(t *testing.T, c disktest.Crash, left disktest.Folder, dir string) error {
	may := map[[32]byte]string{digest(nil): "nothing"}
	for _, mark := range c.Marks {
		switch m := mark.(type) {
		case opened:
			may = map[[32]byte]string{m.state: "what was acknowledged"}
		case told:
			may = map[[32]byte]string{m.state: "what was acknowledged"}
		case planned:
			may[m.state] = "what was in doubt"
		}
	}
	if err := left.Write(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "data", "mcp_oauth.db")
	if left.Files["data/mcp_oauth.db"] == nil {
		l.tally.early++
	}
	e, err := openEngine(path, Options{}, bbolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	got := contents(t, e)
	what, known := may[digest(got)]
	if !known {
		return fmt.Errorf("it has %d records, and not those that were acknowledged", len(got))
	}
	if len(may) > 1 {
		if what == "what was in doubt" {
			l.tally.doubtKept++
		} else {
			l.tally.doubtLost++
		}
	}
	var faults []error
	err = e.View(background(), func(r kv.Reader) error {
		kv.CheckRecords(r, &kv.Checks{Now: l.now, Fault: func(what string) { faults = append(faults, errors.New(what)) }})
		return nil
	})
	if err := errors.Join(append(faults, err)...); err != nil {
		return err
	}
	if _, err := kv.New(e).UseOnce(background(), storage.HashOf("after the crash"), l.now.Add(time.Hour), l.now); err != nil {
		return err
	}
	got = contents(t, e)
	if err := errors.Join(e.Close(), checkPagesOf(path)); err != nil {
		return err
	}
	again, err := openEngine(path, Options{}, bbolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	defer func() { _ = again.Close() }()
	if !maps.Equal(contents(t, again), got) {
		return errors.New("it has other records once it is opened again")
	}
	return nil
}

func checkPagesOf(path string) error {
	return verify(path, options(Options{}, bbolt.Options{}))
}
