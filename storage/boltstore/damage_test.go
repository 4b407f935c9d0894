package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// filled returns a database with records on many pages.
func filled(t *testing.T) (path string, s storage.Store, e *engine) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "mcp_oauth.db")
	e, err := openEngine(path, Options{}, bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	s = kv.New(e)
	for i := range 200 {
		c := storage.Client{ID: fmt.Sprint("client ", i), Issuer: "https://a.example", ExpiresAt: time.Unix(1e9, 0)}
		if err := s.CreateClient(background(), c, storage.Unused{}); err != nil {
			t.Fatal(err)
		}
	}
	return path, s, e
}

// damage overwrites every page of the kind (flags in a page's header) with zeros.
func damage(t *testing.T, path string, kind uint16) {
	t.Helper()
	file := read(t, path)
	size, found := os.Getpagesize(), 0
	for page := 2 * size; page < len(file); page += size {
		if binary.LittleEndian.Uint16(file[page+8:]) == kind {
			clear(file[page : page+size])
			found++
		}
	}
	if found == 0 {
		t.Fatal("nothing to damage")
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // the same file, also for who has it open
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(file, 0); err != nil {
		t.Fatal(err)
	}
}

const leafPage = 0x02

// N03: a damaged file is an error for everybody who needs it, again and again,
// and no end of the process.
func TestDamagedPage_N03(t *testing.T) {
	for name, harm := range map[string]func(*testing.T, string){
		"zeroed page": func(t *testing.T, path string) { damage(t, path, leafPage) },
		"file cut short": func(t *testing.T, path string) {
			if runtime.GOOS == "windows" {
				t.Skip("a mapped file cannot be cut there")
			}
			if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, s, _ := filled(t)
			harm(t, path)
			now := time.Unix(2e9, 0)
			for range 2 {
				for verb, f := range map[string]func(context.Context) error{
					"Client":       func(ctx context.Context) error { _, err := s.Client(ctx, "client 7", time.Unix(0, 0)); return err },
					"Sweep":        func(ctx context.Context) error { _, err := s.Sweep(ctx, now); return err },
					"DeleteClient": func(ctx context.Context) error { _, err := s.DeleteClient(ctx, "client 7", now); return err },
					"CreateClient": func(ctx context.Context) error {
						return s.CreateClient(ctx, storage.Client{ID: "new", Issuer: "https://a.example", ExpiresAt: now}, storage.Unused{})
					},
				} {
					if err := f(background()); err == nil || err == storage.ErrNotFound {
						t.Errorf("%s: %v", verb, err)
					}
				}
			}
		})
	}
}

// N03: so is a file that is damaged when the process starts.
func TestOpenDamagedFile_N03(t *testing.T) {
	for name, harm := range map[string]func(*testing.T, string){
		"zeroed page": func(t *testing.T, path string) { damage(t, path, leafPage) },
		"keys in disorder": func(t *testing.T, path string) {
			file := bytes.ReplaceAll(read(t, path), []byte("client 10"), []byte("zlient 10"))
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"file cut short": func(t *testing.T, path string) {
			if err := os.Truncate(path, int64(5*os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, _, e := filled(t)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			harm(t, path)
			for range 2 { // the first attempt lets go of the file
				s, err := Open(path, Options{Timeout: time.Millisecond})
				if err == nil {
					closed(t, s)
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), "damaged") {
					t.Error(err)
				}
			}
		})
	}
}
