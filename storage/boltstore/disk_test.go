package boltstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// Every caller of a transaction that the disk refuses gets an error, whatever
// its verdict would have been, and the store goes on when the disk does.
func TestDiskFull_M12(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	e, err := openEngine(path, Options{}, bbolt.Options{MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	release := hold(t, e)
	const callers = 20
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			err := e.Update(background(), func(t kv.Tx) error {
				return t.Put(fmt.Appendf(nil, "key %d", i), make([]byte, 1<<18))
			})
			if err == nil {
				t.Error("a write on a full disk succeeded")
			}
		})
	}
	wg.Go(func() {
		if err := e.Update(background(), func(kv.Tx) error { return nil }); err == nil {
			t.Error("a verdict from a transaction that failed")
		}
	})
	queued(e, callers+1)
	release()
	wg.Wait()
	for i := range callers {
		if has(t, e, fmt.Sprint("key ", i)) {
			t.Errorf("write %d stayed", i)
		}
	}
	if err := e.Update(background(), put("small")); err != nil {
		t.Errorf("what fits: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path)
}

// openReadOnly opens a file of its own that cannot be written to.
func openReadOnly(t *testing.T) (e *engine, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "mcp_oauth.db")
	closed(t, open(t, path))
	e, err := openEngine(path, Options{}, bbolt.Options{
		OpenFile: func(name string, _ int, _ os.FileMode) (*os.File, error) { return os.Open(name) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e, path
}

func TestReadOnlyDisk_M12(t *testing.T) {
	e, path := openReadOnly(t)
	for range 3 {
		if err := e.Update(background(), put("key")); err == nil {
			t.Error("a write to a read-only file succeeded")
		}
	}
	if has(t, e, "key") {
		t.Error("the write stayed")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path)
}

// A check notices a disk that takes nothing any more, also when nobody stores
// anything, and that it does again; where changes are stored it makes none.
func TestCheckWrites_M12(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	e, err := openEngine(path, Options{}, bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{Store: kv.New(e), engine: e, path: path}
	defer closed(t, s)
	check := func(when string, wantCommits int, want string) {
		t.Helper()
		before := e.db.committed.Load()
		err := s.Check(background())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
		if got := int(e.db.committed.Load() - before); got != wantCommits {
			t.Errorf("%s: the check made %d changes, want %d", when, got, wantCommits)
		}
	}
	check("when it is new", 0, "")
	e.db.wrote.Store(time.Now().Add(-2 * trialInterval).UnixNano())
	check("after a time without changes", 1, "")
	check("right after that", 0, "")

	limit := e.db.bolt.MaxSize
	e.db.bolt.MaxSize = 1 << 17
	if err := e.Update(background(), func(t kv.Tx) error { return t.Put([]byte("large"), make([]byte, 1<<18)) }); err == nil {
		t.Fatal("a write on a full disk succeeded")
	}
	check("on a full disk", 0, "can be read, but not written to")
	check("on a disk that is still full", 0, "can be read, but not written to")
	if err := e.Update(background(), func(t kv.Tx) error { return t.Put([]byte("small"), []byte("s")) }); err != nil {
		t.Fatal(err)
	}
	check("when something small was stored all the same", 0, "can be read, but not written to")
	e.db.bolt.MaxSize = limit
	check("when there is room", 1, "")
	check("afterwards", 0, "")
}

// A disk that cannot be written to is noticed before anybody stores anything.
func TestCheckReadOnly_M12(t *testing.T) {
	e, path := openReadOnly(t)
	s := &Store{Store: kv.New(e), engine: e, path: path}
	defer closed(t, s)
	if err := s.Check(background()); err == nil || !strings.Contains(err.Error(), "not written to") {
		t.Errorf("got %v", err)
	}
}

// Nothing in the file works as a credential: not the tokens, and not the
// sealed response that repeats them.
func TestNoSecretInTheFile_M01(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := open(t, path)
	secrets := storetest.Life(t, s, seal.Under)
	closed(t, s)
	file := read(t, path)
	for _, secret := range secrets {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("%q is in the file", secret)
		}
		if h := storage.HashOf(secret); !bytes.Contains(file, h[:]) {
			text, _ := h.MarshalText()
			if !bytes.Contains(file, text) {
				t.Errorf("%q is not even there as a hash: the test looks in the wrong place", secret)
			}
		}
	}
}

// A process that ends between the commit and the answer costs nobody their
// sign-in: after a restart the same response is repeated.
func TestRestart_D13(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	first := open(t, path)
	rotation := storetest.LostResponse(t, first, now)
	closed(t, first)

	again := open(t, path)
	defer closed(t, again)
	retry := rotation
	retry.Issue.Access.Hash = storage.HashOf("another access token")
	retry.Replay = []byte("another response")
	res, err := again.RotateRefreshToken(background(), retry)
	if err != nil || res.Verdict != storage.Repeated || !bytes.Equal(res.Replay, rotation.Replay) {
		t.Fatalf("verdict %v, replay %q, %v", res.Verdict, res.Replay, err)
	}
	if _, err := again.AccessToken(background(), rotation.Issue.Access.Hash, now); err != nil {
		t.Fatalf("the token that was issued before the restart: %v", err)
	}
}
