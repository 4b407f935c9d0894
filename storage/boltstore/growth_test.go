package boltstore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// However often a client refreshes, its grant keeps a bounded number of records,
// and the file does not grow.
func TestRefreshesDoNotGrowTheFile_I21(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	e, err := openEngine(path, Options{}, bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	s := kv.New(e)
	now := benchNow
	if err := signIn(background(), s, 1); err != nil {
		t.Fatal(err)
	}
	grant, _, _ := benchGrant(1)
	refresh := func(n int) {
		now = now.Add(time.Millisecond)
		r := rotation(1, uint64(n), now)
		r.GrantID = grant
		if res, err := s.RotateRefreshToken(background(), r); err != nil || res.Verdict != storage.OK {
			t.Fatalf("refresh %d: verdict %v, %v", n, res.Verdict, err)
		}
	}
	for n := range 100 {
		refresh(n)
	}
	records, size := measure(t, e, path)
	for n := range 5000 {
		refresh(100 + n)
	}
	if r, s := measure(t, e, path); r > records || s > size {
		t.Errorf("after 5000 refreshes more: %d records in %d bytes, before %d in %d", r, s, records, size)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// measure returns how many records there are and how large the file is.
func measure(t *testing.T, e *engine, path string) (records int, size int64) {
	t.Helper()
	err := e.View(background(), func(r kv.Reader) error {
		for range r.Scan(nil) {
			records++
		}
		return nil
	})
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil {
		t.Fatal(err, statErr)
	}
	return records, info.Size()
}
