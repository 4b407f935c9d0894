package boltstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Every refusal names the file, the cause and what to do.
func TestRefusalsSayWhatToDo(t *testing.T) {
	fails := func(cause error) bbolt.Options {
		return bbolt.Options{OpenFile: func(name string, _ int, _ os.FileMode) (*os.File, error) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: cause}
		}}
	}
	for name, c := range map[string]struct {
		make    func(path string) error
		options bbolt.Options
		want    []string
	}{
		"folder":        {func(path string) error { return os.Mkdir(path, 0o700) }, bbolt.Options{}, []string{"is a folder", "add mcp_oauth.db"}},
		"empty":         {func(path string) error { return os.WriteFile(path, nil, 0o600) }, bbolt.Options{}, []string{"it is empty", "backup", "move it away"}},
		"text":          {func(path string) error { return os.WriteFile(path, make([]byte, 1<<16), 0o600) }, bbolt.Options{}, []string{"no database", "backup"}},
		"short":         {func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, bbolt.Options{}, []string{"no database", "backup"}},
		"no permission": {func(string) error { return nil }, fails(fs.ErrPermission), []string{"permission", "user id"}},
		"read-only":     {func(string) error { return nil }, fails(syscall.EROFS), []string{"mount it for writing"}},
		"disk full":     {func(string) error { return nil }, fails(syscall.ENOSPC), []string{"free some space"}},
		"below a file": {func(path string) error {
			return os.WriteFile(filepath.Dir(path), nil, 0o600)
		}, bbolt.Options{}, []string{"must be a folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dir")
			path := filepath.Join(dir, "mcp_oauth.db")
			if name != "below a file" {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Stat(path)
			e, err := openEngine(path, Options{}, c.options)
			if err == nil {
				t.Fatal("opened", e.Close())
			}
			for _, want := range append(c.want, path) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "goroutine") {
				t.Errorf("a stack trace: %s", err)
			}
			if after, _ := os.Stat(path); before != nil && after.Size() != before.Size() {
				t.Errorf("the file has %d bytes, had %d", after.Size(), before.Size())
			}
		})
	}
}

// What a killed first start leaves is no database, and in nobody's way.
func TestLeftoverOfAFirstStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	if err := os.WriteFile(path+".123.new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed(t, open(t, path))
	if names, err := filepath.Glob(path + "*"); err != nil || len(names) != 1 {
		t.Errorf("files %q, %v; want the database alone", names, err)
	}
	closed(t, open(t, path))
}

// A file that is deleted or replaced while it is open is noticed.
func TestFileIsAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	if err := s.Check(background()); err != nil {
		t.Errorf("Check of a file in its place: %v", err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	expectCheck(t, s, "deleted", path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expectCheck(t, s, "replaced", path)
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(background()); err != nil {
		t.Errorf("Check when it is back: %v", err)
	}
}

// So is one that is cut short, before anybody reads what is missing; nothing is
// written behind the gap.
func TestFileIsCutShort(t *testing.T) {
	for name, size := range map[string]int64{"to nothing": 0, "to its beginning": int64(2 * os.Getpagesize())} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mcp_oauth.db")
			s, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			expectCheck(t, s, "cannot be used", path, "damaged")
			if err := s.engine.Update(background(), put("key")); !errors.Is(err, errDamaged) {
				t.Errorf("Update: %v, want %v", err, errDamaged)
			}
			if info, err := os.Stat(path); err != nil || info.Size() != size {
				t.Errorf("the file has %d bytes, %v; want %d", info.Size(), err, size)
			}
		})
	}
}

func expectCheck(t *testing.T, s *Store, want ...string) {
	t.Helper()
	err := s.Check(background())
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("Check: %v, want it to say %q", err, w)
		}
	}
}

// A store that cannot even end a transaction answers at once, and can be closed.
func TestBrokenStore(t *testing.T) {
	e := tempEngine(t)
	btx, err := e.db.begin(true) // as one whose end panicked: bbolt's lock is held
	if err != nil {
		t.Fatal(err)
	}
	e.db.breakDown(damaged("canary"))
	for name, err := range map[string]error{
		"Update": e.Update(background(), put("key")),
		"View":   e.View(background(), nil),
		"Check":  (&Store{engine: e}).Check(background()),
	} {
		if !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v, want the cause", name, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	e.db.rollback(btx)
}

// Where bbolt could not even begin, it is not asked to: it would panic with the
// locks held that others need to end what they began before.
func TestNoMetaWhileOthersAreAtWork(t *testing.T) {
	path, _, e := filled(t)
	release := hold(t, e)
	outcome := make(chan error)
	go func() { outcome <- e.Update(background(), put("key")) }()
	queued(e, 1)
	reading, read := make(chan struct{}), make(chan struct{})
	go func() {
		outcome <- e.View(background(), func(kv.Reader) error {
			close(reading)
			<-read
			return nil
		})
	}()
	<-reading
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 2*os.Getpagesize()), 0); err != nil {
		t.Fatal(err)
	}
	if err := e.View(background(), nil); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("a new reader: %v, want the damage and the file", err)
	}
	release()
	close(read)
	for range 2 { // the reader ends; the writer that waited is told
		select {
		case err := <-outcome:
			if err != nil && !errors.Is(err, errDamaged) {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("somebody waits for ever")
		}
	}
}

// A newest state that is lost is no reason to go on with the one before: what
// was acknowledged since would be gone without a word.
func TestNewestStateLost(t *testing.T) {
	path, _, e := filled(t)
	size := os.Getpagesize()
	file := read(t, path)
	newer := 0
	if order.Uint64(file[size+pageHeader+48:]) > order.Uint64(file[pageHeader+48:]) {
		newer = 1
	}
	clear(file[newer*size : (newer+1)*size])
	overwrite(t, path, file)
	for range 2 {
		if err := e.Update(background(), put("key")); !errors.Is(err, errDamaged) {
			t.Errorf("Update: %v, want the damage", err)
		}
		if err := e.View(background(), nil); !errors.Is(err, errDamaged) {
			t.Errorf("View: %v, want the damage", err)
		}
	}
}

// A tree that leads back into itself is read to no end, and so refused.
func TestTreeWithoutEnd(t *testing.T) {
	path, _, e := filled(t)
	file := read(t, path)
	size := os.Getpagesize()
	for page := 2 * size; page < len(file); page += size {
		if order.Uint16(file[page+8:]) != branchPage || order.Uint16(file[page+10:]) < 2 {
			continue
		}
		elements := file[page+pageHeader:]
		for i := range int(order.Uint16(file[page+10:])) { // all lead to the first child
			copy(elements[i*elementLength+8:][:8], elements[8:16])
		}
	}
	overwrite(t, path, file)
	err := e.View(background(), func(r kv.Reader) error {
		for range r.Scan(nil) {
		}
		return nil
	})
	if !errors.Is(err, errDamaged) {
		t.Errorf("error %v, want the damage", err)
	}
}

func TestEmpty(t *testing.T) {
	e := tempEngine(t)
	s := kv.New(e)
	for _, want := range []bool{true, false} {
		if got, err := s.Empty(background()); err != nil || got != want {
			t.Errorf("Empty: %t, %v; want %t", got, err, want)
		}
		if err := e.Update(background(), put("key")); err != nil {
			t.Fatal(err)
		}
	}
}
