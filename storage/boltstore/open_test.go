package boltstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

func open(t *testing.T, path string) storage.Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s storage.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFileRights_M05(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // rights are not in the mode there
	}
	path := filepath.Join(t.TempDir(), "new", "deep", "mcp_oauth.db")
	closed(t, open(t, path))
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s was created with mode %04o, want %04o", name, got, want)
		}
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err == nil {
			closed(t, s)
			t.Errorf("opened with mode %04o", mode)
		} else if !strings.Contains(err.Error(), "chmod 600") || !strings.Contains(err.Error(), path) {
			t.Errorf("error without file or fix: %v", err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	closed(t, open(t, path))
}

func TestSecondOpener_M11(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	first := open(t, path)
	_, err := Open(path, Options{Timeout: time.Millisecond})
	if !errors.Is(err, bolterrors.ErrTimeout) || !strings.Contains(err.Error(), "caddy reload") {
		t.Errorf("second opener: %v", err)
	}
	closed(t, first)
	closed(t, open(t, path))
}

// Nobody else gets a large file from before the first word of its opening until it is
// closed, so that who is told nothing else of it can still end.
func TestNobodyElseHasWhatIsBeingOpened_M11(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	closed(t, open(t, path))
	large := []byte("large")
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(large, make([]byte, slowSize)) })
	edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Delete(large) })

	other, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	begun, opened, gaps := make(chan struct{}), make(chan struct{}), make(chan bool)
	go func() {
		<-begun
		for {
			if held, err := tryLock(other); held || err != nil {
				gaps <- true
				return
			}
			select {
			case <-opened:
				gaps <- false
				return
			default:
			}
		}
	}()
	reports := 0
	s, err := Open(path, Options{Progress: func(int64, int64) error {
		if reports++; reports > 1 {
			return nil
		}
		close(begun)
		told := false
		_, err := Open(path, Options{Timeout: time.Millisecond, Progress: func(int64, int64) error {
			told = true
			return errors.New("enough")
		}})
		if told || !errors.Is(err, storage.ErrInUse) {
			t.Errorf("another opener: %v, told of progress: %t", err, told)
		}
		return nil
	}})
	close(opened)
	if <-gaps {
		t.Error("another got the lock")
	}
	if err != nil {
		t.Fatal(err)
	}
	if reports < 10 {
		t.Errorf("%d reports of progress", reports)
	}
	closed(t, s)
	if held, err := tryLock(other); !held || err != nil {
		t.Errorf("%v: it is locked when it is closed", err)
	}
}

func TestSchemaGuard_M08(t *testing.T) {
	set := func(version string) func(*bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(schemaKey, []byte(version)) }
	}
	for name, c := range map[string]struct {
		change func(*bbolt.Tx) error
		want   string
	}{
		"newer":      {set(strconv.Itoa(schema + 1)), "newer version"},
		"older":      {set(strconv.Itoa(oldest - 1)), "before the first release"},
		"unreadable": {set("x"), "unreadable"},
		"no schema": {func(tx *bbolt.Tx) error {
			return tx.Bucket(metaBucket).Delete(schemaKey)
		}, "unreadable"},
		"foreign": {func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("theirs"))
			return errors.Join(tx.DeleteBucket(metaBucket), err)
		}, "another program"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mcp_oauth.db")
			closed(t, open(t, path))
			edit(t, path, c.change)
			before := read(t, path)
			if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v, want it to name a %q", err, c.want)
			}
			if !bytes.Equal(read(t, path), before) {
				t.Error("the file was written")
			}
			edit(t, path, func(*bbolt.Tx) error { return nil }) // not locked
		})
	}
}

func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil {
		t.Fatal("opened")
	}
}

func TestDirectoryCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "mcp_oauth.db"), Options{}); err == nil {
		t.Fatal("opened")
	}
}

func edit(t *testing.T, path string, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func background() context.Context { return context.Background() }
