package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/logging"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/hashchain"
)

var errFull = errors.New("no space left on device")

// fullDisk writes to a file until there is no room left.
type fullDisk struct {
	*os.File
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) <= d.room {
		d.room -= len(p)
		return d.File.Write(p)
	}
	n, err := d.File.Write(p[:d.room])
	d.room = 0
	return n, errors.Join(err, errFull)
}

// A disk that was full leaves at most incomplete lines that the chain knows of,
// wherever in a line it became full, how often so ever, and also if the process ends
// then.
func TestFullDisk(t *testing.T) {
	const line = `{"msg":"a line of some length"}` + "\n"
	whole, _ := hashchain.Head{}.Append(nil, []byte(line), 0)
	for room := 0; room < 2*len(whole)+3; room += 7 {
		for _, again := range []int{0, 1, 40, len(whole) - 1} {
			for _, restarts := range []bool{false, true} {
				path := filepath.Join(t.TempDir(), "audit.log")
				f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				disk, c := &fullDisk{f, room}, &chain{file: path}
				refused, lines := 0, 4
				for i := range lines {
					if _, _, err := c.write(disk, []byte(line)); err != nil {
						refused++
						disk.room = again // a little becomes free, and is used up
						if i == lines-2 {
							disk.room = 1 << 20
						}
						if restarts {
							c = &chain{file: path}
						}
					}
				}
				disk.room = 1 << 20
				if _, _, err := c.write(disk, []byte(line)); err != nil {
					t.Fatal(err)
				}
				_ = f.Close()
				r, err := hashchain.Verify([]string{path})
				if err != nil || !r.Whole() || int(r.Head.Seq) < lines+1-refused {
					text, _ := os.ReadFile(path)
					t.Fatalf("room %d, then %d, restarts %v: %+v, %v; %d of %d refused\n%s", room, again, restarts, r.Broken, err, refused, lines, text)
				}
			}
		}
	}
}

// What is written by many at a time is one chain, through rotated files, reloads and
// restarts.
func TestRotatedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	w := &ChainWriter{FileWriter: logging.FileWriter{Filename: path, RollSizeMB: 1, RollKeep: 100}}
	text := []byte(`{"msg":"` + strings.Repeat("x", 4000) + `"}` + "\n")
	const rounds, each = 4, 250
	for round := range rounds {
		out, err := w.OpenWriter()
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		for range 4 {
			go func() {
				var err error
				for range each / 4 {
					_, failing := out.Write(text)
					err = errors.Join(err, failing)
				}
				failed <- err
			}()
		}
		for range 4 {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if round%2 == 1 { // the process ends
			chains.Clear()
		}
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	r, err := hashchain.Verify(files)
	if err != nil || !r.Whole() || r.First != 1 || r.Head.Seq != rounds*(each/4)*4 {
		t.Errorf("%+v, %v in %v", r, err, files)
	}
}

func TestChainWriterRefuses(t *testing.T) {
	w := &ChainWriter{FileWriter: logging.FileWriter{Filename: "x", RollCompression: "zstd"}}
	if err := w.Provision(caddy.Context{}); err == nil || !strings.Contains(err.Error(), "roll_compression none") {
		t.Errorf("zstd: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "audit-1.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit-2.log.gz"), []byte("no gzip"), 0o600); err != nil {
		t.Fatal(err)
	}
	w = &ChainWriter{FileWriter: logging.FileWriter{Filename: filepath.Join(dir, "audit.log")}}
	if _, err := w.OpenWriter(); err == nil || !strings.Contains(err.Error(), "audit-2.log.gz") {
		t.Errorf("a damaged file to go on from: %v", err)
	}
}
