package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

func newKeys(t *testing.T, b byte) *seal.Keyring {
	t.Helper()
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// What failed is there after a restart, for every instance; what did not fail is
// kept nowhere. It is sealed.
func TestFailuresAreKept(t *testing.T) {
	ctx, store, now := context.Background(), memstore.New(), start
	clock := func() time.Time { return now }
	p := newTape(DefaultLimits)
	p.add(codex(challenge), codex(event.Event{Kind: event.ClientRegistrationRefused, Reference: "r1", Err: errors.New("no redirect URI of alice")}))
	p.add(from("198.51.100.1", "claude", challenge))
	failed := p.Unsaved(site, 10, now)
	if len(failed) != 1 || len(p.Unsaved("https://other", 10, now)) != 0 {
		t.Fatalf("%d traces are to be saved, want one", len(failed))
	}
	a := NewArchive(site, store, newKeys(t, 1), clock)
	if err := a.Save(ctx, failed); err != nil {
		t.Fatal(err)
	}
	p.add(codex(event.Event{Kind: event.ClientRegistrationRefused, Reference: "r2"}))
	p.Saved(failed, now)
	if len(p.Unsaved(site, 10, now.Add(-time.Minute))) != 0 {
		t.Error("what was saved just now is to be saved again at once")
	}
	again := p.Unsaved(site, 10, now)
	if len(again) != 1 {
		t.Fatalf("%d traces are to be saved after one went on, want it", len(again))
	}
	if err := a.Save(ctx, again); err != nil {
		t.Fatal(err)
	}
	if p.Saved(again, now); len(p.Unsaved(site, 10, now)) != 0 {
		t.Error("what was saved is to be saved again")
	}
	other := NewArchive(site, store, newKeys(t, 1), clock)
	for _, q := range []Query{{Reference: "r1"}, {Reference: "r2"}, {Client: "codex"}} {
		found, err := newTape(DefaultLimits).Find(ctx, q, other)
		if err != nil || len(found) != 1 || len(found[0].Steps) != 3 {
			t.Errorf("%+v: %d traces, %v, want one of three steps", q, len(found), err)
		}
		if found, _ := p.Find(ctx, q, other); len(found) != 1 {
			t.Errorf("%+v: %d traces from memory and store, want one", q, len(found))
		}
	}
	for i := range drawers {
		if v, err := store.SiteValue(ctx, site, sealed.TracesName(i), now); err == nil && (strings.Contains(v.Text, "alice") || strings.Contains(v.Text, "codex")) {
			t.Errorf("it is not sealed: %s", v.Text)
		}
	}
	if found, err := NewArchive(site, store, newKeys(t, 2), clock).All(ctx); err != nil || len(found) != 0 {
		t.Errorf("with another key: %d traces, %v, want none", len(found), err)
	}
	if err := NewArchive(site, store, newKeys(t, 2), clock).Save(ctx, failed); err != nil {
		t.Errorf("after the key was lost: %v", err)
	}
	now = now.Add(lifetime + time.Minute)
	if found, err := other.All(ctx); err != nil || len(found) != 0 {
		t.Errorf("after %s: %d traces, %v, want none", lifetime, len(found), err)
	}
}

// Several instances write at once, and lose nothing that there is room for.
func TestInstancesSaveAtOnce(t *testing.T) {
	file, err := boltstore.Open(filepath.Join(t.TempDir(), "db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]storage.Store{"memory": memstore.New(), "file": file} {
		t.Run(name, func(t *testing.T) {
			saveAtOnce(t, store)
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func saveAtOnce(t *testing.T, store storage.Store) {
	ctx, keys := context.Background(), newKeys(t, 1)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			a := NewArchive(site, store, keys, func() time.Time { return start })
			for j := range 10 {
				tr := &Trace{ID: fmt.Sprintf("%d-%d", i, j), Site: site, Began: start, Last: start}
				for try := 0; ; try++ {
					err := a.Save(ctx, []*Trace{tr})
					if err == nil {
						break
					}
					if !errors.Is(err, sealedvalue.ErrBusy) || try > 100 {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	found, err := NewArchive(site, store, keys, func() time.Time { return start }).All(ctx)
	if err != nil || len(found) != 40 {
		t.Errorf("%d traces, %v, want 40", len(found), err)
	}
}

// What is kept is bounded, in number and bytes.
func TestArchiveIsBounded(t *testing.T) {
	ctx, store, keys := context.Background(), memstore.New(), newKeys(t, 1)
	a := NewArchive(site, store, keys, func() time.Time { return start })
	for i := range 300 {
		tr := &Trace{ID: fmt.Sprint(i), Site: site, Began: start, Last: start.Add(time.Duration(i) * time.Second)}
		for range maxSteps {
			tr.Steps = append(tr.Steps, Step{Time: start, Cause: strings.Repeat("x", maxCause), Detail: strings.Repeat("y", maxText)})
		}
		if err := a.Save(ctx, []*Trace{tr}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := a.All(ctx)
	if err != nil || len(found) == 0 || len(found) > drawers*perDrawer {
		t.Errorf("%d traces, %v", len(found), err)
	}
	newest := false
	for i := range drawers {
		v, err := store.SiteValue(ctx, site, sealed.TracesName(i), start)
		if err != nil || len(v.Text) > 2*drawerBytes {
			t.Errorf("%s has %d bytes, %v", sealed.TracesName(i), len(v.Text), err)
		}
	}
	for _, tr := range found {
		newest = newest || tr.ID == "299"
	}
	if !newest {
		t.Error("the newest is not among them")
	}
}

// Strangers, however many, however long their traces, push out nobody who signed in,
// and one of them only some of the others.
func TestStrangersPushOutNobody(t *testing.T) {
	ctx, store, keys := context.Background(), memstore.New(), newKeys(t, 1)
	a := NewArchive(site, store, keys, func() time.Time { return start })
	const people, others = 60, 20
	save := func(i int, tr Trace, steps int) {
		t.Helper()
		tr.ID, tr.Site, tr.Began, tr.Last = fmt.Sprint(i, tr.Address), site, start, start.Add(time.Duration(i)*time.Second)
		for range steps {
			tr.Steps = append(tr.Steps, Step{Time: start, Cause: strings.Repeat("x", maxCause), Detail: strings.Repeat("y", maxText)})
		}
		if err := a.Save(ctx, []*Trace{&tr}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(meant func(*Trace) bool) (n int) {
		t.Helper()
		all, err := a.All(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range all {
			if meant(tr) {
				n++
			}
		}
		return n
	}
	ofPeople := func(tr *Trace) bool { return tr.Person != "" }
	ofOthers := func(tr *Trace) bool { return strings.HasPrefix(tr.Address, "203.") }
	for i := range people {
		save(i, Trace{Person: "oidc:alice", Address: "192.0.2.1"}, 1)
	}
	for i := range others {
		save(i, Trace{Address: fmt.Sprintf("203.%d.113.1", i)}, 1)
	}
	had := kept(ofPeople)
	if n := kept(ofOthers); n != others {
		t.Fatalf("%d traces of strangers are kept, want %d", n, others)
	}
	for i := range 300 {
		save(i, Trace{Address: fmt.Sprintf("198.51.100.%d", i%250)}, 1)
	}
	if n := kept(ofOthers); n < others*3/4 {
		t.Errorf("%d traces of others are kept after a flood from one block of addresses, want most of %d", n, others)
	}
	for i := range 300 {
		save(i, Trace{Address: fmt.Sprintf("100.%d.0.1", i%250)}, maxSteps)
	}
	if n := kept(ofPeople); n != had {
		t.Errorf("%d traces of people are kept after a flood of long ones, want %d", n, had)
	}
}

// Somebody who fails again and again, from wherever and under however many names,
// pushes out little of what others failed at.
func TestOnePersonPushesOutNobodyKept(t *testing.T) {
	for name, flood := range map[string]func(i int) Trace{
		"one person": func(i int) Trace { return Trace{Person: "oidc:mallory", Address: fmt.Sprintf("198.%d.100.1", i%250)} },
		"one address with many names": func(i int) Trace {
			return Trace{Person: fmt.Sprint("user_id:", i), Address: "198.51.100.1"}
		},
		"one person with long traces": func(int) Trace {
			return Trace{Person: "oidc:mallory", Address: "198.51.100.1", Steps: make([]Step, maxSteps)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := NewArchive(site, memstore.New(), newKeys(t, 1), func() time.Time { return start })
			save := func(i int, tr Trace) {
				t.Helper()
				tr.ID, tr.Site, tr.Began, tr.Last = fmt.Sprint(tr.Person, i), site, start, start.Add(time.Duration(i)*time.Second)
				for n := range tr.Steps {
					tr.Steps[n] = Step{Time: start, Cause: strings.Repeat("x", maxCause), Detail: strings.Repeat("y", maxText), Agent: strings.Repeat("z", maxText)}
				}
				if err := a.Save(t.Context(), []*Trace{&tr}); err != nil {
					t.Fatal(err)
				}
			}
			const others = 40
			for i := range others {
				save(i, Trace{Person: fmt.Sprint("oidc:", i), Address: fmt.Sprintf("192.%d.2.1", i)})
			}
			before, err := a.All(t.Context())
			if err != nil || len(before) != others {
				t.Fatalf("%d traces are kept, %v, want %d", len(before), err, others)
			}
			for i := range 200 {
				save(others+i, flood(i))
			}
			all, err := a.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			kept, last := 0, false
			for _, tr := range all {
				if strings.HasPrefix(tr.Address, "192.") {
					kept++
				}
				last = last || strings.HasSuffix(tr.ID, fmt.Sprint(others+199))
			}
			if kept != len(before) || !last {
				t.Errorf("%d traces of others are kept, want %d; the last one of all: %t", kept, len(before), last)
			}
		})
	}
}

// A store that fails fails the save, and the search, in words.
func TestStoreThatFails(t *testing.T) {
	store := memstore.New()
	_ = store.Close()
	a := NewArchive(site, store, newKeys(t, 1), func() time.Time { return start })
	if err := a.Save(context.Background(), []*Trace{{ID: "1"}}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("save: got %v, want %v", err, storage.ErrClosed)
	}
	if _, err := newTape(DefaultLimits).Find(context.Background(), Query{}, a); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("search: got %v, want %v", err, storage.ErrClosed)
	}
}

// Whoever only tries tokens is not worth the room in the store.
func TestWrongTokensAreNotKept(t *testing.T) {
	p := newTape(DefaultLimits)
	wrong := event.Event{Kind: event.GateRefused, Reason: "token_not_issued"}
	p.add(from("192.0.2.1", "x", wrong), from("192.0.2.2", "x", wrong))
	if unsaved := p.Unsaved(site, 10, p.now); len(unsaved) != 0 {
		t.Errorf("%d traces are to be saved, want none", len(unsaved))
	}
	p.add(from("192.0.2.2", "x", event.Event{Kind: event.ClientRegistrationRefused}))
	if unsaved := p.Unsaved(site, 10, p.now); len(unsaved) != 1 {
		t.Errorf("%d traces are to be saved, want the one of who did more", len(unsaved))
	}
}

// Where the memory is full, strangers make room first.
func TestStrangersMakeRoom(t *testing.T) {
	p := newTape(Limits{Strangers: 100, Known: 100, Bytes: 40_000, Sender: 100, Person: 100})
	for i := range 10 {
		id := fmt.Sprint(i)
		p.add(event.Event{Kind: event.TokenIssued, Grant: "g" + id, Person: "oidc:" + id, Client: "c" + id})
	}
	for i := range 100 {
		p.add(from(fmt.Sprint(i), strings.Repeat("x", 100), challenge))
	}
	if n, bytes := p.Quantity(); bytes > 40_000 || n == 110 {
		t.Fatalf("%d traces with %d bytes: the memory is not full", n, bytes)
	}
	for i := range 10 {
		if got := p.described(t, Query{Person: fmt.Sprint(i)}); len(got) != 1 {
			t.Errorf("person %d has %d traces, want 1", i, len(got))
		}
	}
}
