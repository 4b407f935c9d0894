package boltstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A database that is a link to another folder stays there.
func TestDatabaseThatIsALink(t *testing.T) {
	dir := t.TempDir()
	file, link, backup := filepath.Join(dir, "db"), filepath.Join(dir, "link"), filepath.Join(dir, "backup")
	for _, path := range []string{file, backup} {
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	_, _, err := Compact(link, Options{})
	if err == nil || !strings.Contains(err.Error(), "--database") {
		t.Errorf("compact: got %v, want that the file is to be named", err)
	}
	r, err := PrepareRestore(t.Context(), link, backup, Options{}, Checker{})
	if err == nil || !strings.Contains(err.Error(), "--database") {
		t.Errorf("restore: got %v, want that the file is to be named", err)
	}
	if r != nil {
		_ = r.Close()
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is no link any more: %v, %v", info, err)
	}
}
