package boltstore

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kvtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storage.Store {
		e := tempEngine(t)
		t.Cleanup(func() { checkRecords(t, e) }) // whatever was done to it
		return kv.New(e)
	})
}

func TestFaults_B15(t *testing.T) {
	storetest.RunFaults(t, func(t *testing.T) storetest.Breakable {
		e := kvtest.Wrap(tempEngine(t))
		return storetest.Breakable{Store: kv.New(e), FailWrite: e.FailWrite, Dump: e.Dump}
	})
}

// tempEngine opens a new file, whose structure is checked when the test ends.
func tempEngine(t testing.TB) *engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dir", "mcp_oauth.db")
	e, err := openEngine(path, Options{}, bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		checkFile(t, path)
	})
	return e
}

// checkRecords looks for records that do not agree with each other, as a time at
// which nothing has ended yet.
func checkRecords(t testing.TB, e *engine) {
	t.Helper()
	err := e.View(background(), func(r kv.Reader) error {
		kv.CheckRecords(r, &kv.Checks{Fault: func(what string) {
			if !strings.HasSuffix(what, "is not known to its grant") { // which forgot it when it had ended
				t.Error(what)
			}
		}})
		return nil
	})
	if err != nil && !errors.Is(err, storage.ErrClosed) {
		t.Error(err)
	}
}

// checkFile lets bbolt check every page of a closed file.
func checkFile(t testing.TB, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("damaged file: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
