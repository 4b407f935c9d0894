//go:build unix

package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/newfile"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/reseal"
)

// What can be interrupted, on the database at path.
var interruptible = map[string]func(t *testing.T, path string) error{
	"backup": func(_ *testing.T, path string) error {
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		defer s.Close()
		return newfile.Replace(path+".backup", func(f *os.File) error { return writeBackup(s, f) })
	},
	"restore": func(t *testing.T, path string) error { return restoreOnce(t, path) },
	"compact": func(_ *testing.T, path string) error {
		_, _, err := Compact(path, Options{})
		return err
	},
	"migrate": func(_ *testing.T, path string) error {
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		return s.Close()
	},
	"reseal": resealAll,
}

func restoreOnce(t *testing.T, path string) error {
	r, err := PrepareRestore(t.Context(), path, path+".from", Options{}, checker(t))
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.EndSignIns(t.Context(), someTime); err != nil {
		return err
	}
	_, err = r.Commit(time.Now())
	return err
}

func resealAll(t *testing.T, path string) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	both := someRing(t, 2, 1)
	r := reseal.New(s, both, time.Now)
	for {
		ended, err := r.Turn(t.Context())
		if err != nil {
			return err
		}
		if ended {
			return nil
		}
	}
}

const interruptedConnections = 400

// template returns a database in a folder of its own, with a backup beside it that has
// some connections less.
func template(t *testing.T, op string) (path string) {
	path = filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := openStore(t, path)
	connectPeople(t, s, someRing(t, 1), 0, interruptedConnections-100)
	signInPerson(t, s, "alice")
	if err := os.WriteFile(path+".from", read(t, backup(t, s)), 0o600); err != nil {
		t.Fatal(err)
	}
	connectPeople(t, s, someRing(t, 1), interruptedConnections-100, interruptedConnections)
	v, err := s.PutUpstreamClient(t.Context(), storage.UpstreamClient{Issuer: someSite, Provider: "p", Server: "s", Secret: []byte("x")}, nil, someTime)
	if err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	closed(t, s)
	if op == "migrate" {
		edit(t, path, func(tx *bbolt.Tx) error { return toSchema2(tx) })
	}
	return path
}

// toSchema2 makes the database one of the version before.
func toSchema2(btx *bbolt.Tx) error {
	b := btx.Bucket([]byte{'p'})
	key, value := b.Cursor().First()
	key, value = bytes.Clone(key), bytes.Clone(value)
	return errors.Join(b.Delete(key), b.Put([]byte("p0123456789abcdef"), value), btx.Bucket(metaBucket).Put(schemaKey, []byte("2")))
}

// TestInterruptedOnce is what is killed, or finds the disk full.
func TestInterruptedOnce(t *testing.T) {
	path := os.Getenv("BOLTSTORE_INTERRUPT_PATH")
	if path == "" {
		return
	}
	if os.Getenv("BOLTSTORE_INTERRUPT_LIMIT") != "" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := &syscall.Rlimit{Cur: 96 << 10, Max: 96 << 10}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path+".started", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := interruptible[os.Getenv("BOLTSTORE_INTERRUPT")](t, path); err != nil {
		fmt.Println("refused:", err)
	}
}

func interrupted(path, op string, more ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestInterruptedOnce$")
	cmd.Env = append(append(os.Environ(), "BOLTSTORE_INTERRUPT="+op, "BOLTSTORE_INTERRUPT_PATH="+path), more...)
	return cmd
}

// Whenever a process is killed, the database is there and whole, and what it was at can
// be done again.
func TestKilledMaintenance_M15(t *testing.T) {
	for op := range interruptible {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			path := template(t, op)
			whole := read(t, path)
			for seed := range uint64(8) {
				if op != "reseal" { // which goes on
					if err := os.WriteFile(path, whole, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				cmd := interrupted(path, op)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				for started := false; !started; time.Sleep(100 * time.Microsecond) {
					_, err := os.Stat(path + ".started")
					started = err == nil
				}
				time.Sleep(time.Duration(rand.New(rand.NewPCG(seed, 0)).Int64N(int64(40 * time.Millisecond))))
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				_ = os.Remove(path + ".started")
				afterKill(t, op, path)
			}
			if err := interruptible[op](t, path); err != nil {
				t.Errorf("again: %v", err)
			}
			afterKill(t, op, path)
			if op == "reseal" {
				r, err := CheckFile(t.Context(), path, checker(t, 2))
				if err != nil || r.Unopened != 1 || r.Sealed[someRing(t, 2).IDs()[0]] != interruptedConnections { // one was never sealed
					t.Errorf("%v: %+v", err, r)
				}
			}
			left, _ := filepath.Glob(path + ".*.new")
			more, _ := filepath.Glob(path + ".*" + restoring)
			if left = append(left, more...); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// afterKill checks what is there.
func afterKill(t *testing.T, op, path string) {
	t.Helper()
	if op == "migrate" {
		s := openStore(t, path)
		all, err := s.UpstreamClients(t.Context(), someSite, someTime)
		if err != nil || len(all) != 1 {
			t.Errorf("registrations %v, %v", all, err)
		}
		closed(t, s)
	}
	r, err := CheckFile(t.Context(), path, checker(t, 2, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := interruptedConnections
	if op == "restore" && r.Records["access token"] == 0 {
		want = interruptedConnections - 100 // it was restored, with all that belongs to it
		r.Unopened++
		r.Faults = append(r.Faults, "")
	}
	if r.Records["connection"] != want || r.Unopened != 1 || len(r.Faults) != 1 {
		t.Errorf("%d connections, want %d; %+v", r.Records["connection"], want, r)
	}
	if b, err := CheckFile(t.Context(), path+".backup", checker(t)); op == "backup" && !errors.Is(err, os.ErrNotExist) {
		wantSound(t, b, err, interruptedConnections)
	}
}

// M12: a full disk is said in words, and changes nothing.
func TestNoRoomForMaintenance_M12_M15(t *testing.T) {
	for _, op := range []string{"backup", "restore", "compact", "migrate"} {
		t.Run(op, func(t *testing.T) {
			path := template(t, op)
			before := read(t, path)
			if len(before) < 128<<10 {
				t.Fatalf("the database has %d bytes, fewer than there is room for", len(before))
			}
			out, err := interrupted(path, op, "BOLTSTORE_INTERRUPT_LIMIT=1").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "refused: ") || !strings.Contains(string(out), "file too large") {
				t.Errorf("%v: %s", err, out)
			}
			_ = os.Remove(path + ".started")
			if !bytes.Equal(read(t, path), before) {
				t.Error("the database was changed")
			}
			left, _ := filepath.Glob(path + "*")
			if len(left) != 2 { // with the backup
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A backup under an old key says which key it needs, before it is restored.
func TestRestoreTellsKeys(t *testing.T) {
	path := template(t, "restore")
	r, err := PrepareRestore(context.Background(), path, path+".from", Options{}, checker(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if old := someRing(t, 1).IDs()[0]; r.Report.Sealed[old] != interruptedConnections-100 || r.Report.Unopened != interruptedConnections-100 {
		t.Errorf("%+v", r.Report)
	}
}

// What an administrator restores or compacts belongs to the user that runs Caddy.
func TestOwnerStays(t *testing.T) {
	user, path := somebody(), template(t, "restore")
	for _, op := range []string{"compact", "restore"} {
		if os.Geteuid() == 0 {
			if err := os.Chown(path, user, user); err != nil {
				t.Fatal(err)
			}
		}
		if err := interruptible[op](t, path); err != nil || ownerOf(t, path) != user {
			t.Errorf("%s: owned by %d, want %d, %v", op, ownerOf(t, path), user, err)
		}
	}
}
