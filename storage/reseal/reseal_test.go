package reseal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

const issuer = "https://mcp.example.com"

// fixture is a store with connections, and a clock that only the test moves.
type fixture struct {
	*testing.T
	store *storetest.Faulty
	time  time.Time
}

func newFixture(t *testing.T) *fixture {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	return &fixture{t, storetest.NewFaulty(s), time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
}

func (f *fixture) now() time.Time { return f.time }

func ring(t *testing.T, keys ...byte) *seal.Keyring {
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

func (f *fixture) connect(by *seal.Keyring, from, to int) {
	f.Helper()
	for n := from; n < to; n++ {
		k := storage.ConnectionKey{Issuer: issuer, Owner: fmt.Sprint("virtual_key:", n), Server: "github"}
		id := fmt.Sprint("id ", n)
		_, v, err := f.store.PutConnection(context.Background(), storage.Connection{
			ConnectionKey: k, ID: id, State: storage.Active, Secret: by.Seal([]byte(id), sealed.Connection(k, id)...), CreatedAt: f.time,
		}, f.time)
		if err != nil || v != storage.OK {
			f.Fatal(v, err)
		}
	}
}

// turns does as many turns as it takes for a look to end.
func (f *fixture) look(r *Resealer) Status {
	f.Helper()
	for range 1000 {
		ended, err := r.Turn(context.Background())
		if err != nil {
			f.Fatal(err)
		}
		if ended {
			return r.Status()
		}
	}
	f.Fatal("no look ends")
	return Status{}
}

func (f *fixture) want(s Status, r *seal.Keyring, pending, unreadable int) {
	f.Helper()
	if got := s.Pending(r.IDs()[0]).Total(); got != pending || s.Unreadable.Total() != unreadable {
		f.Errorf("%d pending and %d unreadable, want %d and %d: %+v", got, s.Unreadable.Total(), pending, unreadable, s)
	}
}

// opens checks that all that is stored opens with a ring.
func (f *fixture) opens(with *seal.Keyring, n int) {
	f.Helper()
	all, err := f.store.ConnectionsOf(context.Background(), issuer, "", f.time)
	if err != nil || len(all) != n {
		f.Fatalf("%d connections, %v; want %d", len(all), err, n)
	}
	for _, c := range all {
		if plain, err := with.Open(c.Secret, sealed.Connection(c.ConnectionKey, c.ID)...); err != nil || string(plain) != c.ID {
			f.Errorf("%s: %q, %v", c.ID, plain, err)
		}
	}
}

// M03: after a change of the key all is sealed with the new one, by itself.
func TestKeyChange_M03(t *testing.T) {
	f := newFixture(t)
	old, both, next := ring(t, 1), ring(t, 2, 1), ring(t, 2)
	const n = 3*perTurn + 7
	f.connect(old, 0, n)
	r := New(f.store, old, f.now)
	f.want(f.look(r), old, 0, 0)
	if r.Waiting() != 0 {
		t.Error("something waits before the change")
	}

	f.time = f.time.Add(time.Hour)
	changed := f.time
	r = New(f.store, both, f.now)
	s := f.look(r)
	f.want(s, both, n, 0)
	if s.Sealed != n || !s.Since.Equal(changed) {
		t.Errorf("sealed %d since %v, want %d since %v", s.Sealed, s.Since, n, changed)
	}
	f.opens(next, n)
	f.time = f.time.Add(time.Minute)
	if r.Waiting() != time.Minute {
		t.Errorf("waiting %v, want a minute", r.Waiting())
	}
	f.want(f.look(r), both, 0, 0)
	if r.Waiting() != 0 {
		t.Errorf("waiting %v when all is done", r.Waiting())
	}

	// An earlier configuration sealed something after that: it is found.
	f.connect(old, n, n+2)
	f.time = f.time.Add(pause)
	f.want(f.look(r), both, 2, 0)
	f.time = f.time.Add(soon)
	f.want(f.look(r), both, 0, 0)
	f.opens(next, n+2)
}

// ahead is a store whose clock is ahead of this process's.
type ahead struct {
	Store
	by time.Duration
}

func (s ahead) Ahead() time.Duration { return s.by }

// Since when a key is the first is told by the store's clock: processes whose clocks
// are minutes apart say the same, and let the key before go at the same moment.
func TestStoreDecidesSince_M03(t *testing.T) {
	f := newFixture(t)
	old, both := ring(t, 1), ring(t, 2, 1)
	f.connect(old, 0, 2)
	const apart = 10 * time.Minute
	behind, right := ahead{f.store, apart}, ahead{f.store, 0}
	stored := f.time.Add(apart)
	r := New(behind, both, f.now)
	if s := f.look(r); !s.Since.Equal(stored) {
		t.Errorf("the process that is behind says since %v, want %v", s.Since, stored)
	}
	if r.Waiting() != 0 {
		t.Errorf("waiting %v at the first moment", r.Waiting())
	}
	f.time = f.time.Add(time.Minute)
	if r.Waiting() != time.Minute {
		t.Errorf("waiting %v, want a minute", r.Waiting())
	}
	f.time = stored.Add(time.Minute) // by the clock of another process
	if s := f.look(New(right, both, f.now)); !s.Since.Equal(stored) {
		t.Errorf("the other process says since %v, want %v", s.Since, stored)
	}
	if key, err := Agree(t.Context(), right, "none", f.time); err != nil || key != both.IDs()[0] {
		t.Errorf("agreed on %s, %v", key, err)
	}
	if changed, err := Change(t.Context(), behind, both.IDs()[0], "next", f.time); err != nil || !changed {
		t.Fatal(changed, err)
	}
	if c, _, err := claimed(t.Context(), right, f.time); err != nil || !c.Since.Equal(f.time.Add(apart)) {
		t.Errorf("changed at %v, %v; want %v", c.Since, err, f.time.Add(apart))
	}
}

// Whatever interrupts it, it goes on, and since when the key is the first is known.
func TestGoesOn(t *testing.T) {
	f := newFixture(t)
	old, both := ring(t, 1), ring(t, 2, 1)
	const n = 5 * perTurn
	f.connect(old, 0, n)
	began := f.time
	for range 3 { // processes that are killed in the middle
		r := New(f.store, both, f.now)
		for range 2 {
			if ended, err := r.Turn(context.Background()); ended || err != nil {
				t.Fatal(ended, err)
			}
		}
		f.time = f.time.Add(time.Hour)
	}
	r := New(f.store, both, f.now)
	if s := f.look(r); s.Pending(both.IDs()[0]).Total() != n-2*perTurn || !s.Since.Equal(began) {
		t.Errorf("%d pending since %v, want %d since %v", s.Pending(both.IDs()[0]).Total(), s.Since, n-2*perTurn, began)
	}
	f.opens(ring(t, 2), n)
}

func TestStoreFails(t *testing.T) {
	f := newFixture(t)
	old, both := ring(t, 1), ring(t, 2, 1)
	f.connect(old, 0, 3)
	r := New(f.store, both, f.now)
	for _, verb := range []string{"ReplaceSealed", "SiteValue", "ReplaceSiteValue"} {
		f.store.Fail(verb)
		if verb == "ReplaceSiteValue" { // the claim was stored
			r = New(f.store, ring(t, 3, 2, 1), f.now)
		}
		if ended, err := r.Turn(context.Background()); ended || !errors.Is(err, storetest.ErrDisk) {
			t.Errorf("%s: ended %t, %v", verb, ended, err)
		}
		if ended, err := r.Turn(context.Background()); ended || err != nil {
			t.Errorf("%s: tried again at once: %t, %v", verb, ended, err)
		}
		f.time = f.time.Add(retry)
	}
	f.store.Fail("")
	f.look(New(f.store, both, f.now))
	f.opens(ring(t, 2), 3)
}

// What no key opens is counted, and left as it is.
func TestUnreadable(t *testing.T) {
	f := newFixture(t)
	lost, both := ring(t, 9), ring(t, 2, 1)
	f.connect(lost, 0, 2)
	f.connect(both, 2, 3)
	damaged := both.Seal([]byte("x"), "elsewhere")
	k := storage.ConnectionKey{Issuer: issuer, Owner: "virtual_key:moved", Server: "github"}
	if _, v, err := f.store.PutConnection(context.Background(), storage.Connection{ConnectionKey: k, ID: "moved", State: storage.Active, Secret: damaged}, f.time); err != nil || v != storage.OK {
		t.Fatal(v, err)
	}
	s := f.look(New(f.store, both, f.now))
	f.want(s, both, 0, 3)
	if s.Unreadable[storage.SealedConnection] != 3 || s.Found[both.IDs()[0]][storage.SealedConnection] != 1 {
		t.Errorf("%+v", s)
	}
	c, err := f.store.Connection(context.Background(), k, f.time)
	if err != nil || !bytes.Equal(c.Secret, damaged) {
		t.Errorf("what cannot be opened was changed: %v", err)
	}
}

// Two processes whose configurations differ do not undo what the other did: the one
// that was configured last decides.
func TestTwoConfigurations(t *testing.T) {
	f := newFixture(t)
	one, two := ring(t, 1, 2), ring(t, 2, 1)
	f.connect(one, 0, 4)
	earlier := New(f.store, one, f.now)
	f.want(f.look(earlier), one, 0, 0)
	later := New(f.store, two, f.now)
	f.want(f.look(later), two, 4, 0)
	for range 3 {
		f.time = f.time.Add(pause)
		s := f.look(earlier)
		if !s.Superseded || s.Sealed != 0 {
			t.Fatalf("the earlier one: %+v", s)
		}
		if s := f.look(later); s.Superseded || s.Sealed != 4 {
			t.Fatalf("the later one: %+v", s)
		}
	}
	// Until it is configured again: then it is the later one.
	again := New(f.store, one, f.now)
	f.want(f.look(again), one, 4, 0)
	f.time = f.time.Add(pause)
	if s := f.look(later); !s.Superseded {
		t.Errorf("the one before: %+v", s)
	}
}
