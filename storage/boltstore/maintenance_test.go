package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
)

const someSite = "https://mcp.example.com"

var someTime = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func someRing(t testing.TB, keys ...byte) *seal.Keyring {
	t.Helper()
	var all [][]byte
	for _, b := range keys {
		all = append(all, bytes.Repeat([]byte{b}, seal.KeySize))
	}
	k, err := seal.NewKeyring(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// connectPeople stores the connections of people from one number to another.
func connectPeople(t testing.TB, s storage.Store, by *seal.Keyring, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		k := storage.ConnectionKey{Issuer: someSite, Owner: fmt.Sprint("virtual_key:", n), Server: "github"}
		id := fmt.Sprint("id ", n)
		_, v, err := s.PutConnection(context.Background(), storage.Connection{
			ConnectionKey: k, ID: id, State: storage.Active, Secret: by.Seal([]byte(id), sealed.Connection(k, id)...), CreatedAt: someTime,
		}, someTime)
		if err != nil || v != storage.OK {
			t.Fatal(v, err)
		}
	}
}

// signInPerson takes a person to a grant with tokens and a browser session.
func signInPerson(t testing.TB, s storage.Store, name string) {
	t.Helper()
	who := storage.Identity{Kind: "virtual_key", Subject: "virtual_key:" + name, Name: name}
	hash := func(what string) storage.Hash { return storage.HashOf(what + " of " + name) }
	v, err := s.SaveFlow(context.Background(), storage.Flow{ID: name, Issuer: someSite, Identity: who, ExpiresAt: someTime.Add(time.Hour)}, someTime)
	if err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	month := someTime.Add(30 * 24 * time.Hour)
	v, err = s.SubmitFlow(context.Background(), storage.Submission{
		FlowID: name, Issuer: someSite, Identity: who, Now: someTime,
		Grant:   &storage.Grant{ID: name, Issuer: someSite, ClientID: "client", Identity: who, ExpiresAt: month, AbsoluteExpiresAt: month, CreatedAt: someTime},
		Code:    &storage.Code{Hash: hash("code"), GrantID: name, Issuer: someSite, ClientID: "client", Challenge: "c", ExpiresAt: someTime.Add(time.Minute)},
		Browser: &storage.SignIn{BrowserSession: storage.BrowserSession{Hash: hash("session"), Issuer: someSite, Identity: who, ExpiresAt: month}},
	})
	if err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	claimed, err := s.ClaimCode(context.Background(), storage.CodeClaim{
		Hash: hash("code"), Issuer: someSite, ClientID: "client", Challenge: "c", Now: someTime,
		Issue: storage.Issue{
			Access:         storage.AccessToken{Hash: hash("access"), GrantID: name, Issuer: someSite, ClientID: "client", Identity: who, Audience: []string{"x"}, ExpiresAt: someTime.Add(time.Hour)},
			Refresh:        &storage.RefreshToken{Hash: hash("refresh"), GrantID: name, Issuer: someSite, ClientID: "client", ExpiresAt: month},
			GrantExpiresAt: month,
		},
	})
	if err != nil || claimed.Verdict != storage.OK {
		t.Fatal(claimed.Verdict, err)
	}
}

// backup writes a backup of a store into a file.
func backup(t testing.TB, s *Store) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.db")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeBackup(s, f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeBackup(s *Store, w io.Writer) error {
	snapshot, err := s.Snapshot()
	if err != nil {
		return err
	}
	defer snapshot.Close()
	var all bytes.Buffer
	if err := snapshot.Write(&all, someTime); err != nil {
		return err
	}
	if int64(all.Len()) != snapshot.Size() {
		return fmt.Errorf("%d bytes, and Size says %d", all.Len(), snapshot.Size())
	}
	_, err = w.Write(all.Bytes())
	return err
}

// openStore opens the database at path, and closes it when the test ends. It waits for
// the lock as long as the program does: a process that another test begins at this
// moment holds copies of this one's open files, and with them their locks, until it is
// executed.
func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func checker(t testing.TB, keys ...byte) Checker {
	c := Checker{Now: someTime}
	if len(keys) > 0 {
		c.Keys = someRing(t, keys...)
	}
	return c
}

// wantSound checks that a report has so many connections and no fault.
func wantSound(t testing.TB, r *Report, err error, connections int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound() || r.Records["connection"] != connections {
		t.Errorf("%d connections, want %d; faults %v", r.Records["connection"], connections, r.Faults)
	}
}

// A backup that is taken while others write is one state of the database: all that was
// stored before it began, and nothing by half.
func TestBackupUnderLoad(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "mcp_oauth.db"))
	ring := someRing(t, 1)
	connectPeople(t, s, ring, 0, 50)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 1000 * (w + 1); ctx.Err() == nil; n++ {
				name := fmt.Sprint(n)
				signInPerson(t, s, name)
				if _, err := s.RevokeGrant(context.Background(), name, someTime); err != nil {
					t.Error(err)
				}
				connectPeople(t, s, ring, n, n+1)
			}
		})
	}
	for range 5 {
		path := backup(t, s)
		r, err := CheckFile(t.Context(), path, checker(t, 1))
		if err != nil || !r.Sound() || r.Records["connection"] < 50 || !r.TakenAt.Equal(someTime) {
			t.Errorf("%v: %+v", err, r)
		}
		r, err = s.CheckAll(t.Context(), checker(t, 1))
		if err != nil || !r.Sound() || r.Records["connection"] < 50 {
			t.Errorf("the open one: %v: %+v", err, r)
		}
	}
	stop()
	writers.Wait()
}

// A backup that is not what was written is refused, in words, before anything is
// replaced.
func TestDamagedBackup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mcp_oauth.db")
	s := openStore(t, path)
	connectPeople(t, s, someRing(t, 1), 0, 300)
	whole := read(t, backup(t, s))
	closed(t, s)
	before := read(t, path)
	r := rand.New(rand.NewPCG(1, 2))
	damagedBy := map[string][]byte{
		"empty":                 {},
		"half":                  whole[:len(whole)/2],
		"without its end":       whole[:len(whole)-1],
		"one page missing":      append(bytes.Clone(whole[:4096*3]), whole[4096*4:]...),
		"something else":        bytes.Repeat([]byte("a text "), 10_000),
		"without pages":         whole[len(whole)-trailerSize:],
		"page by page of zeros": append(make([]byte, len(whole)-trailerSize), whole[len(whole)-trailerSize:]...),
	}
	for n := range 40 {
		flipped := bytes.Clone(whole)
		at := r.IntN(len(flipped) - trailerSize)
		flipped[at] ^= 1 << r.IntN(8)
		damagedBy[fmt.Sprintf("bit %d at %d", n, at)] = flipped
	}
	for name, content := range damagedBy {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "backup.db")
			if err := os.WriteFile(from, content, 0o600); err != nil {
				t.Fatal(err)
			}
			restoration, err := PrepareRestore(t.Context(), path, from, Options{}, checker(t, 1))
			if err == nil {
				_ = restoration.Close()
				t.Fatal("it would be restored")
			}
			if text := err.Error(); !strings.Contains(text, "damaged") || !strings.Contains(text, "nothing was replaced") || !strings.Contains(text, from) {
				t.Errorf("%v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 || !bytes.Equal(read(t, path), before) {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRestore_M14(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := openStore(t, path)
	ring := someRing(t, 1)
	connectPeople(t, s, ring, 0, 5)
	for _, name := range []string{"alice", "bob"} {
		signInPerson(t, s, name)
	}
	key, _, err := s.PutVirtualKey(t.Context(), storage.VirtualKey{Issuer: someSite, Look: "carol", Name: "carol"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{sealed.SigningKeysName, storage.InitialTokensName} {
		if err := s.PutSiteValue(t.Context(), storage.SiteValue{Issuer: someSite, Name: name, Text: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	from := backup(t, s)
	// What ends after the backup.
	if _, err := s.RevokeGrant(t.Context(), "alice", someTime); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteVirtualKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	connectPeople(t, s, ring, 5, 9)

	if _, err := PrepareRestore(t.Context(), path, from, Options{Timeout: time.Millisecond}, checker(t, 1)); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("while it is open: %v", err)
	}
	closed(t, s)
	restoration, err := PrepareRestore(t.Context(), path, from, Options{}, Checker{Keys: ring, Now: someTime})
	if err != nil {
		t.Fatal(err)
	}
	defer restoration.Close()
	// The signing keys of this test are no seal.
	if r := restoration.Report; r.Unopened != 1 || r.Records["connection"] != 5 || !r.TakenAt.Equal(someTime) || r.Sealed[ring.IDs()[0]] != 5 {
		t.Errorf("%+v", r)
	}
	if _, err := Open(path, Options{Timeout: time.Millisecond}); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("opened while a restore is at it: %v", err)
	}
	ended, err := restoration.EndSignIns(t.Context(), someTime)
	if err != nil || ended.Grants != 2 || ended.Sessions != 2 || fmt.Sprint(ended.VirtualKeys) != "[carol]" || ended.SigningKeys != 1 || ended.InitialTokens != 1 {
		t.Errorf("ended %+v, %v", ended, err)
	}
	kept, err := restoration.Commit(someTime)
	if err != nil || restoration.Close() != nil {
		t.Fatal(err)
	}
	r, err := CheckFile(t.Context(), path, checker(t, 1))
	wantSound(t, r, err, 5)
	r, err = CheckFile(t.Context(), kept, checker(t))
	wantSound(t, r, err, 9)
	restored := openStore(t, path)
	for _, name := range []string{"alice", "bob"} {
		if _, err := restored.AccessToken(t.Context(), storage.HashOf("access of "+name), someTime); err != storage.ErrNotFound {
			t.Errorf("the access token of %s: %v", name, err)
		}
		if g, err := restored.Grant(t.Context(), name, someTime); err != nil || g.RevokedAt.IsZero() {
			t.Errorf("the grant of %s: %+v, %v", name, g, err)
		}
		if _, err := restored.BrowserSession(t.Context(), storage.HashOf("session of "+name), someTime); err != storage.ErrNotFound {
			t.Errorf("the browser session of %s: %v", name, err)
		}
	}
	for _, name := range []string{sealed.SigningKeysName, storage.InitialTokensName} {
		if _, err := restored.SiteValue(t.Context(), someSite, name, someTime); err != storage.ErrNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys, _, err := restored.VirtualKeys(t.Context(), someSite)
	if err != nil || len(keys) != 1 || !keys[0].Disabled || keys[0].Withdrawn != 1 {
		t.Errorf("virtual keys %+v, %v", keys, err)
	}
}

// Without a database, as on another machine.
func TestRestoreAnew(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "mcp_oauth.db"))
	connectPeople(t, s, someRing(t, 1), 0, 5)
	from := backup(t, s)
	path := filepath.Join(t.TempDir(), "new", "mcp_oauth.db")
	restoration, err := PrepareRestore(t.Context(), path, from, Options{}, checker(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	if restoration.Replaces || restoration.Report.Unopened != 5 {
		t.Errorf("%+v", restoration.Report)
	}
	if kept, err := restoration.Commit(someTime); err != nil || kept != "" || restoration.Close() != nil {
		t.Errorf("kept %q, %v", kept, err)
	}
	r, err := CheckFile(t.Context(), path, checker(t, 1))
	wantSound(t, r, err, 5)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if bytes.Contains(read(t, path), []byte(trailerMagic)) {
		t.Error("the database still says that it is a backup")
	}
}

func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := openStore(t, path)
	connectPeople(t, s, someRing(t, 1), 0, 200)
	err := s.engine.Update(t.Context(), func(tx kv.Tx) error { return tx.Put([]byte("jlarge"), make([]byte, 8<<20)) })
	err = errors.Join(err, s.engine.Update(t.Context(), func(tx kv.Tx) error { return tx.Delete([]byte("jlarge")) }))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Compact(path, Options{Timeout: time.Millisecond}); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("while it is open: %v", err)
	}
	closed(t, s)
	before, after, err := Compact(path, Options{})
	if err != nil || before < 8<<20 || after > before/8 {
		t.Errorf("from %d to %d, %v", before, after, err)
	}
	r, err := CheckFile(t.Context(), path, checker(t, 1))
	wantSound(t, r, err, 200)
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if _, _, err := Compact(path+".none", Options{}); err == nil || !strings.Contains(err.Error(), "check storage path") {
		t.Errorf("without a file: %v", err)
	}
}

// Who waits for the lock of a database that is replaced meanwhile opens the new one.
func TestReplacedWhileWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := openStore(t, path)
	connectPeople(t, s, someRing(t, 1), 0, 3)
	from := backup(t, s)
	connectPeople(t, s, someRing(t, 1), 3, 6)
	closed(t, s)
	restoration, err := PrepareRestore(t.Context(), path, from, Options{}, checker(t))
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Store)
	go func() {
		s, err := Open(path, Options{Timeout: 10 * time.Second})
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	time.Sleep(100 * time.Millisecond) // it waits for the lock by now, or comes later
	if _, err := restoration.Commit(someTime); err != nil {
		t.Fatal(err)
	}
	if err := restoration.Close(); err != nil {
		t.Fatal(err)
	}
	s = <-opened
	defer s.Close()
	if all, err := s.ConnectionsOf(t.Context(), someSite, "", someTime); err != nil || len(all) != 3 {
		t.Errorf("%d connections, %v; want those of the backup", len(all), err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// It is also seen when the file is replaced right before it is locked.
func TestReplacedIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := openStore(t, path)
	if replaced(s.engine.db.file, path) {
		t.Error("replaced by itself")
	}
	if err := os.Rename(backup(t, s), path); err != nil {
		t.Fatal(err)
	}
	if !replaced(s.engine.db.file, path) {
		t.Error("not seen")
	}
}

// A check finds whatever is missing, changed or in the wrong place.
func TestCheckFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp_oauth.db")
	s := openStore(t, path)
	connectPeople(t, s, someRing(t, 1), 0, 2)
	signInPerson(t, s, "alice")
	closed(t, s)
	whole := read(t, path)
	kinds := map[byte]string{
		'g': "has no grant", 'h': "has no entry in the index of connections", 'o': "leads to no connection", 'm': "has no entry in the index of a person's grants",
		'i': "has no entry in the index of a client's grants", 'r': "has lost its refresh token", 'w': "has no entry in the index of browser sessions", 'b': "leads to nothing",
		'x': "has no entry in the index of a person's flows", 'y': "has no entry in the index of a browser's flows",
	}
	for kind, want := range kinds {
		t.Run("without "+string(kind), func(t *testing.T) {
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte{kind}) })
			wantFault(t, path, checker(t, 1), want)
		})
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("unreadable", func(t *testing.T) {
		edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte{'k'}).Put([]byte("kx"), []byte("?")) })
		wantFault(t, path, checker(t, 1), "code 78 cannot be read")
	})
	t.Run("unknown", func(t *testing.T) {
		edit(t, path, func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte{'!'})
			return errors.Join(err, b.Put([]byte("!"), []byte("?")))
		})
		wantFault(t, path, checker(t, 1), "unknown kind")
	})
	t.Run("another key", func(t *testing.T) {
		wantFault(t, path, checker(t, 2), "has something sealed that no encryption key opens")
	})
}

func wantFault(t *testing.T, path string, c Checker, want string) {
	t.Helper()
	r, err := CheckFile(t.Context(), path, c)
	if err != nil || !strings.Contains(strings.Join(r.Faults, "\n"), want) {
		t.Errorf("%v: %+v; want %q", err, r, want)
	}
}
