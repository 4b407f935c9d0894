package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// N03: whatever happens to the file, before it is opened or while it is open,
// nothing panics, nothing hangs, and the process goes on. It runs in a process
// of its own, which the kinds of damage that this is about would end.
func TestAnyDamage_N03(t *testing.T) {
	const seeds = usualDamages
	for name := range damages {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDamageOnce$", "-test.v")
			cmd.Env = append(os.Environ(), "BOLTSTORE_DAMAGE="+name, fmt.Sprint("BOLTSTORE_SEEDS=", seeds))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "went through") {
				t.Errorf("%v\n%s", err, tail(out, 4000))
			}
		})
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// TestDamageOnce is what TestAnyDamage_N03 starts.
func TestDamageOnce(t *testing.T) {
	damage := damages[os.Getenv("BOLTSTORE_DAMAGE")]
	if damage == nil {
		return
	}
	seeds, err := strconv.Atoi(os.Getenv("BOLTSTORE_SEEDS"))
	if err != nil {
		t.Fatal(err)
	}
	whole := wholeFile(t)
	for seed := range seeds {
		fmt.Println("seed", seed)
		for _, running := range []bool{true, false} {
			done := make(chan struct{})
			time.AfterFunc(time.Minute, func() { // far more than it takes
				select {
				case <-done:
				default:
					panic("something hangs")
				}
			})
			surviveDamage(t, whole, running, func(file []byte) []byte {
				return damage(rand.New(rand.NewPCG(uint64(seed), 0)), file)
			})
			close(done)
		}
	}
	fmt.Println("went through")
}

// wholeFile returns a database with every kind of page.
func wholeFile(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	e, err := openEngine(path, Options{}, bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // leaves free pages too
		err = errors.Join(err, e.Update(background(), func(tx kv.Tx) error {
			for i := range 900 {
				size := 100
				if i%50 == round {
					size = 3 * os.Getpagesize() // on overflow pages
				}
				if err := tx.Put(fmt.Appendf(nil, "%d key %d", i%3, i), bytes.Repeat([]byte{'v'}, size)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	if err := errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	// With a list of free pages, which an older version or a tool leaves.
	edit(t, path, func(*bbolt.Tx) error { return nil })
	return read(t, path)
}

// surviveDamage works with a damaged file as a site would.
func surviveDamage(t *testing.T, whole []byte, running bool, damage func([]byte) []byte) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	file := bytes.Clone(whole)
	if !running {
		file = damage(file)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := openEngine(path, Options{Timeout: time.Millisecond}, bbolt.Options{MaxSize: len(whole) + 1<<18, NoSync: true})
	if err != nil {
		if running || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
		return
	}
	if running {
		overwrite(t, path, damage(bytes.Clone(whole)))
	}
	work(e)
	if err := e.Close(); err != nil && !errors.Is(err, errDamaged) {
		t.Error(err)
	}
	if err := e.Update(background(), put("late")); err == nil {
		t.Error("a write after Close")
	}
	// Whatever became of it, the file is let go.
	if again, err := openEngine(path, Options{Timeout: 20 * time.Millisecond}, bbolt.Options{}); err == nil {
		_ = again.Close()
	} else if strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
}

// overwrite changes the file in place, as a failing disk would.
func overwrite(t *testing.T, path string, content []byte) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

// work reads and writes from several sides, also more than the disk takes.
func work(e *engine) {
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := worker; i < 900; i += 61 {
				key := fmt.Appendf(nil, "%d key %d", i%3, i)
				_ = e.View(background(), func(r kv.Reader) error { r.Get(key); return nil })
				_ = e.Update(background(), func(tx kv.Tx) error {
					if i%2 == 0 {
						return tx.Delete(key)
					}
					return tx.Put(key, make([]byte, 500))
				})
			}
			_ = e.View(background(), func(r kv.Reader) error {
				for range r.Scan(nil) {
				}
				return nil
			})
			_ = e.Update(background(), func(tx kv.Tx) error { return tx.Put([]byte("0 much"), make([]byte, 1<<19)) })
			_ = e.Update(background(), func(tx kv.Tx) error { return tx.Put([]byte("0 little"), make([]byte, 10)) })
		})
	}
	all.Wait()
}

const (
	branchPage, metaPage, freelistPage = 0x01, 0x04, 0x10
	anyPage                            = 0
)

var damages = map[string]func(*rand.Rand, []byte) []byte{
	"meta zeroed":              inPage(metaPage, zero),
	"meta with random bytes":   inPage(metaPage, scatter),
	"both meta pages zeroed":   func(_ *rand.Rand, file []byte) []byte { clear(file[:2*os.Getpagesize()]); return file },
	"free list zeroed":         inPage(freelistPage, zero),
	"free list random":         inPage(freelistPage, scatter),
	"branch zeroed":            inPage(branchPage, zero),
	"branch with noise":        inPage(branchPage, noise),
	"branch with random bytes": inPage(branchPage, scatter),
	"branch with another flag": inPage(branchPage, func(_ *rand.Rand, page []byte) { page[8] = leafPage }),
	"leaf zeroed":              inPage(leafPage, zero),
	"leaf with noise":          inPage(leafPage, noise),
	"leaf with random bytes":   inPage(leafPage, scatter),
	"leaf with another flag":   inPage(leafPage, func(_ *rand.Rand, page []byte) { page[8] = branchPage }),
	"leaf full of elements":    inPage(leafPage, func(_ *rand.Rand, page []byte) { page[10], page[11] = 0xff, 0xff }),
	"half a page":              inPage(anyPage, func(_ *rand.Rand, page []byte) { clear(page[len(page)/2:]) }),
	"a bit":                    inPage(anyPage, func(r *rand.Rand, page []byte) { page[r.IntN(len(page))] ^= 1 << r.IntN(8) }),
	"a page over another": func(r *rand.Rand, file []byte) []byte {
		from, to := pageOf(r, file, anyPage), pageOf(r, file, anyPage)
		copy(to, from)
		return file
	},
	"cut short": func(r *rand.Rand, file []byte) []byte {
		if runtime.GOOS == "windows" { // a mapped file cannot be cut there
			return file
		}
		return file[:r.IntN(len(file))]
	},
}

func zero(_ *rand.Rand, page []byte) { clear(page) }

func noise(r *rand.Rand, page []byte) {
	for i := range page {
		page[i] = byte(r.Uint32())
	}
}

// scatter changes a few of the numbers that a page begins with.
func scatter(r *rand.Rand, page []byte) {
	for range 1 + r.IntN(4) {
		page[8+r.IntN(200)] = byte(r.Uint32())
	}
}

// inPage damages one page of the kind.
func inPage(kind uint16, harm func(*rand.Rand, []byte)) func(*rand.Rand, []byte) []byte {
	return func(r *rand.Rand, file []byte) []byte {
		harm(r, pageOf(r, file, kind))
		return file
	}
}

func pageOf(r *rand.Rand, file []byte, kind uint16) []byte {
	var found [][]byte
	size := os.Getpagesize()
	for at := 0; at+size <= len(file); at += size {
		page := file[at : at+size]
		if kind == anyPage || binary.NativeEndian.Uint16(page[8:]) == kind {
			found = append(found, page)
		}
	}
	if len(found) == 0 {
		panic("no such page")
	}
	return found[r.IntN(len(found))]
}
