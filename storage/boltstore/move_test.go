package boltstore

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/move"
)

// A file with a mark is refused by each program, by one that knows no marks as well.
func TestMarkedFile_M08(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	place := MovePlace{Path: path}
	side, err := place.Open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	mark := move.Mark{ID: "1", State: move.Filling, Other: "the file /old.db", Since: time.Unix(0, 0)}
	if err := side.SetMark(t.Context(), mark); err != nil {
		t.Fatal(err)
	}
	if err := side.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, Options{})
	if err == nil || !strings.Contains(err.Error(), "it is being filled with the records of the file /old.db") {
		t.Errorf("opened with a mark: %v", err)
	}
	if _, _, err := Compact(path, Options{}); err == nil {
		t.Error("compacted with a mark")
	}
	if report, err := CheckFile(t.Context(), path, Checker{Now: time.Now()}); err != nil || !report.Sound() || report.Schema != schema {
		t.Errorf("checked with a mark: %+v, %v", report, err)
	}
	if version := rawSchema(t, path); version != "3 closed" { // what earlier programs read as a number
		t.Errorf("the version is %q, want one that earlier programs cannot read", version)
	}
	if side, err = place.Open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got, err := side.Mark(t.Context()); err != nil || got.Other != mark.Other || got.State != mark.State {
		t.Errorf("mark %+v, %v", got, err)
	}
	if err := side.SetMark(t.Context(), move.Mark{}); err != nil {
		t.Fatal(err)
	}
	if err := side.Close(); err != nil {
		t.Fatal(err)
	}
	if version := rawSchema(t, path); version != "3" {
		t.Errorf("the version is %q without a mark", version)
	}
}

func rawSchema(t *testing.T, path string) (version string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bbolt.Tx) error {
		version = string(tx.Bucket(metaBucket).Get(schemaKey))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Records that this program does not know would be left behind.
func TestMoveUnknownKind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.engine.db.bolt.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("!"))
		if err == nil {
			err = b.Put([]byte("!1"), []byte("new"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := (MovePlace{Path: path}).Open(t.Context(), false); err == nil || !strings.Contains(err.Error(), `("!")`) {
		t.Errorf("opened for a move: %v", err)
	}
}
