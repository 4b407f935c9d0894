package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealed"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

// counted counts what is written to a store, which can be away.
type counted struct {
	storage.Store
	writes int
	away   error
}

func (c *counted) ReplaceSiteValue(ctx context.Context, v storage.SiteValue, replaces string, now time.Time) (storage.Verdict, error) {
	c.writes++
	if c.away != nil {
		return 0, c.away
	}
	return c.Store.ReplaceSiteValue(ctx, v, replaces, now)
}

// instance is a process with a server on a store.
type instance struct {
	*Server
	t     *testing.T
	place sealedvalue.Place
}

func instances(t *testing.T, store sealedvalue.Store, now *time.Time, n int) (all []*instance) {
	keys, err := seal.NewKeyring([]byte(strings.Repeat("k", seal.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		all = append(all, &instance{New().Of("https://a", "one"), t, sealedvalue.Place{
			Issuer: "https://a", Store: store, Keys: keys, Now: func() time.Time { return *now },
		}})
	}
	return all
}

func (i *instance) sync() {
	i.t.Helper()
	if err := i.Sync(i.t.Context(), i.place); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) note(name, definition string) {
	i.Note(access.Tool, []byte(name), access.Known, []byte(definition))
}

func (i *instance) tools() (names []string) {
	for _, e := range i.All(access.Tool) {
		names = append(names, e.Name+" "+e.Title)
	}
	return names
}

// What one instance saw another knows, also one that starts later.
func TestInstancesKnowTheSame(t *testing.T) {
	now := time.Now()
	store := &counted{Store: memstore.New()}
	all := instances(t, store, &now, 3)
	a, b, c := all[0], all[1], all[2]
	a.sync()
	b.sync()
	a.note("x", `{"title":"first"}`)
	a.Note(access.Resource, []byte("file:///a"), access.Known, nil)
	b.note("y", `{"annotations":{"title":"why"}}`)
	a.sync()
	b.sync() // which merges
	a.stale.Store(true)
	a.sync()
	c.sync() // which starts
	for i, one := range all {
		if got, want := one.tools(), []string{"x first", "y why"}; !slices.Equal(got, want) {
			t.Errorf("instance %d knows %q, want %q", i, got, want)
		}
	}
	if got := c.All(access.Resource); len(got) != 0 {
		t.Errorf("the store has resources: %v", got)
	}
	// The last word counts, but for what is newer here.
	now = now.Add(2 * savePause)
	a.note("x", `{"title":"second"}`)
	b.note("x", `{"title":"third"}`)
	a.sync()
	b.stale.Store(true)
	b.sync()
	if got, want := b.tools()[0], "x third"; got != want {
		t.Errorf("knows %q, want %q", got, want)
	}
	v, err := store.SiteValue(t.Context(), "https://a", sealed.CatalogName("one"), now)
	if err != nil || strings.Contains(v.Text, "third") {
		t.Errorf("the store has %q, %v", v.Text, err)
	}
}

// What is listed again and again is not written, and what changes each time is
// seldom.
func TestOnlyChangesAreWritten(t *testing.T) {
	now := time.Now()
	store := &counted{Store: memstore.New()}
	s := instances(t, store, &now, 1)[0]
	for range 100 {
		s.note("x", "the same")
		s.sync()
		now = now.Add(time.Second)
	}
	if store.writes != 1 {
		t.Errorf("%d writes for what never changed", store.writes)
	}
	restarted := instances(t, store, &now, 1)[0]
	for range 100 {
		restarted.sync()
		restarted.note("x", "the same")
		now = now.Add(time.Second)
	}
	if store.writes != 1 {
		t.Errorf("%d writes after a restart", store.writes)
	}
	now = now.Add(savePause)
	for i := range 600 {
		s.note("x", fmt.Sprint(i))
		s.sync()
		now = now.Add(time.Second)
	}
	if store.writes != 1+10 {
		t.Errorf("%d writes in ten minutes", store.writes)
	}
	// One that fails is tried again.
	store.away = errors.New("away")
	now = now.Add(savePause)
	s.note("x", "last")
	if err := s.Sync(t.Context(), s.place); !errors.Is(err, store.away) {
		t.Errorf("the store is away: %v", err)
	}
	store.away, now = nil, now.Add(savePause)
	s.sync()
	restarted.stale.Store(true)
	restarted.sync()
	if got, want := restarted.All(access.Tool)[0].Hash, s.All(access.Tool)[0].Hash; got != want {
		t.Error("what could not be stored at once never was")
	}
}

// The store has a bounded amount, and nothing that is gone for long.
func TestKeptIsBounded(t *testing.T) {
	now := time.Now()
	store := memstore.New()
	all := instances(t, store, &now, 2)
	s, later := all[0], all[1]
	s.sync()
	s.note("old", "")
	s.sync()
	now = now.Add((keptDays + 1) * 24 * time.Hour)
	for i := range 4000 {
		s.Note(access.Prompt, []byte(fmt.Sprintf("prompt %d%s", i, strings.Repeat("x", 100))), access.Known, nil)
	}
	s.sync() // the day is another
	s.note("new", "")
	now = now.Add(savePause)
	s.sync()
	v, err := store.SiteValue(t.Context(), "https://a", sealed.CatalogName("one"), now)
	if err != nil || len(v.Text) > 2*keptBytes {
		t.Errorf("%d bytes, %v", len(v.Text), err)
	}
	later.sync()
	if got, want := later.tools(), []string{"new "}; !slices.Equal(got, want) {
		t.Errorf("the store has %q, want %q", got, want)
	}
}

// What the server lists again costs nothing.
func TestNoteAllocatesNothing(t *testing.T) {
	s := New().Of("a", "b")
	name, definition := []byte("create_issue"), []byte(`{"name":"create_issue"}`)
	if n := testing.AllocsPerRun(100, func() { s.Note(access.Tool, name, access.Known, definition) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
