package newfile

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const content = "0123456789abcdef"

func inTwoSteps(f *os.File) error {
	_, err := f.WriteString(content[:8])
	time.Sleep(time.Millisecond)
	_, err2 := f.WriteString(content[8:])
	return errors.Join(err, err2)
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Create(path, inTwoSteps); err != nil {
		t.Fatal(err)
	}
	expect(t, path, content)
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := Create(path, func(*os.File) error { t.Error("written again"); return nil }); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v, want fs.ErrExist", err)
	}
	expect(t, path, content)
	expectAlone(t, path)
}

// A failure leaves nothing behind.
func TestCreateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	failure := errors.New("disk full")
	err := Create(path, func(f *os.File) error {
		_, _ = f.WriteString("half")
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
		t.Errorf("%d files are left", len(entries))
	}
}

// Who comes second does not replace what the first wrote.
func TestCreateAtTheSameTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	err := Create(path, func(f *os.File) error {
		_, err := f.WriteString("second")
		return errors.Join(err, Create(path, inTwoSteps))
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want fs.ErrExist", err)
	}
	expect(t, path, content)
}

// However early the process is killed, the file is whole or not there, and can
// be created afterwards.
func TestKilled(t *testing.T) {
	if path := os.Getenv("NEWFILE_TEST_PATH"); path != "" {
		_ = os.WriteFile(path+".started", nil, 0o600)
		_ = Create(path, inTwoSteps)
		return
	}
	for after := time.Duration(0); after < 6*time.Millisecond; after += 300 * time.Microsecond {
		path := filepath.Join(t.TempDir(), "file")
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "NEWFILE_TEST_PATH="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(path + ".started"); err == nil {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(after)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.Remove(path + ".started")
		if err := Create(path, inTwoSteps); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		expect(t, path, content)
	}
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Fatalf("%s: %q, %v; want %q", path, got, err, want)
	}
}

func expectAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 1 {
		t.Errorf("in the folder: %s", strings.Join(names, ", "))
	}
}
