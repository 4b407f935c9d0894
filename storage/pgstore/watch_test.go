//go:build postgres

package pgstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore/internal/changes"
)

const watchedIssuer = "https://mcp.example.com"

// watching is a process that watches what others change.
type watching struct {
	storage.Watch
	t *testing.T
}

func watchOf(t *testing.T, s *Store) *watching {
	t.Helper()
	w, err := s.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return &watching{w, t}
}

// hears returns the names that were announced, until it has one of them, and how
// long that took.
func (w *watching) hears(name string) (names []string, took time.Duration) {
	w.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		all, err := w.Next(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("nothing is heard of %s: %v", name, err)
		}
		for _, c := range all {
			names = append(names, string(c.Kind)+" "+c.Name)
		}
		if slices.Contains(names, "announced "+name) {
			return names, time.Since(began)
		}
	}
}

// listens waits until notifications arrive.
func (w *watching) listens(other *Store) {
	w.t.Helper()
	for n := range 100 {
		announce(w.t, other, fmt.Sprint("try ", n))
		if _, took := w.hears(fmt.Sprint("try ", n)); took < time.Second {
			return
		}
	}
	w.t.Fatal("no notification arrives")
}

func announce(t *testing.T, s *Store, name string) {
	t.Helper()
	if err := s.Announce(t.Context(), watchedIssuer, name, ""); err != nil {
		t.Fatal(err)
	}
}

func pair(t *testing.T) (here, there *Store, schema string) {
	t.Helper()
	here, schema, _ = openSchema(t, schemas)
	there = open(t, schema)
	t.Cleanup(func() { _ = there.Close() })
	return here, there, schema
}

// With a notification a change arrives at once. Without one it is found within the
// interval, and nothing is lost.
func TestChangesWithoutNotification_E17(t *testing.T) {
	here, there, schema := pair(t)
	w := watchOf(t, here)
	w.listens(there)
	announce(t, there, "notified")
	if _, took := w.hears("notified"); took > time.Second {
		t.Errorf("a notified change took %v", took)
	}
	// What is written without a notification, as when it got lost.
	sql(t, `insert into `+schema+`.changes (writer, keep_until, body)
		values ('somebody', 99999999999, '{"kind":"announced","name":"lost"}')`)
	if _, took := w.hears("lost"); took > storage.WatchInterval+2*time.Second {
		t.Errorf("a change whose notification got lost took %v, want at most %v", took, storage.WatchInterval)
	}
	if err := w.Polls(); err != nil {
		t.Errorf("it says that it polls: %v", err)
	}
}

// A transaction that took its number early and commits late is not skipped.
func TestLateCommit_E17(t *testing.T) {
	here, there, _ := pair(t)
	w := watchOf(t, here)
	late, err := there.db.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer late.end()
	late.tell(storage.Change{Kind: storage.Announced, Name: "late"})
	if err := there.Queue(late.exec, late.told, late.soon(changes.Retention)); err != nil {
		t.Fatal(err)
	}
	if err := late.send(); err != nil {
		t.Fatal(err)
	}
	for n := range 3 { // they have later numbers
		announce(t, there, fmt.Sprint("early ", n))
		if names, _ := w.hears(fmt.Sprint("early ", n)); slices.Contains(names, "announced late") {
			t.Fatal("it is heard before it was committed")
		}
	}
	began := watchOf(t, here) // one that begins while it is under way
	late.batch.Queue("commit")
	if err := late.send(); err != nil {
		t.Fatal(err)
	}
	w.hears("late")
	began.hears("late")
}

// The connection that listens is made anew after it was killed, and what came
// meanwhile is not lost.
func TestListenerKilled_E17(t *testing.T) {
	here, there, _ := pair(t)
	w := watchOf(t, here)
	w.listens(there)
	sql(t, `select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %' or query like 'LISTEN %'`)
	announce(t, there, "meanwhile")
	if _, took := w.hears("meanwhile"); took > storage.WatchInterval+2*time.Second {
		t.Errorf("it took %v, want at most %v", took, storage.WatchInterval)
	}
	w.listens(there)
}

// After the database was started anew, changes arrive at once again.
func TestDatabaseRestartedUnderWatch_E17(t *testing.T) {
	restarted, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer restarted.Close()
	c, err := Parse(Options{DSN: restarted.DSN()})
	if err != nil {
		t.Fatal(err)
	}
	stores := make([]*Store, 2)
	for i := range stores {
		if stores[i], err = Open(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		defer stores[i].Close()
	}
	w := watchOf(t, stores[0])
	w.listens(stores[1])
	announce(t, stores[1], "before")
	if err := restarted.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(t.Context()); err == nil { // perhaps it had read it already
		_, err = w.Next(t.Context())
		if err == nil {
			t.Error("the database is away and Next fails not")
		}
	}
	if err := restarted.Run(); err != nil {
		t.Fatal(err)
	}
	announce(t, stores[1], "after")
	w.hears("after")
	w.listens(stores[1])
}

// Changes are swept, and a watch that begins then misses none.
func TestChangesAreSwept(t *testing.T) {
	here, there, schema := pair(t)
	for n := range 3 {
		announce(t, there, fmt.Sprint("old ", n))
	}
	sql(t, `update `+schema+`.changes set keep_until = 1`)
	if _, err := here.Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	count := func() string { return strings.TrimSpace(dumpOf(t, here, "changes")) }
	if left := strings.Count(count()+"\n", "\n"); left != 1 {
		t.Errorf("%d rows are left, want the newest:\n%s", left, count())
	}
	w := watchOf(t, here)
	announce(t, there, "new")
	if names, _ := w.hears("new"); len(names) != 1 {
		t.Errorf("it hears %q", names)
	}
}

// Who did not look for longer than changes are kept is told so, as is who finds an
// older copy of the database.
func TestChangesMissed(t *testing.T) {
	here, there, schema := pair(t)
	w := watchOf(t, here)
	announce(t, there, "first")
	w.hears("first")
	sql(t, `delete from `+schema+`.changes`)
	announce(t, there, "second")
	sql(t, `update `+schema+`.changes set number = 0`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		all, err := w.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 0 && all[0].Kind == storage.ChangesMissed {
			return
		}
	}
}
