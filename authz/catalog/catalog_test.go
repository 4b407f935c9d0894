package catalog

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

func TestLastWordCounts(t *testing.T) {
	c := New()
	s := c.Of("https://a", "one")
	s.Note(access.Tool, []byte("x"), access.Known, []byte("1"))
	s.Note(access.Tool, []byte("x"), access.Known|access.ReadOnly, []byte(`{"title":"X"}`))
	s.Note(access.Prompt, []byte("p"), access.Known, nil)
	s.Note(access.Tool, []byte(strings.Repeat("x", maxName+1)), 0, nil)
	if got := c.Of("https://a", "one").Look(access.Tool, "x"); got != access.Known|access.ReadOnly {
		t.Errorf("x is %d", got)
	}
	if a, b := s.Look(access.Prompt, "x"), c.Of("https://b", "one").Look(access.Tool, "x"); a != 0 || b != 0 {
		t.Errorf("known of others: %d, %d", a, b)
	}
	if a, b := s.Look(access.Tool, "X "), s.Look(access.Tool, "y"); a != access.Known|access.ReadOnly || b != 0 {
		t.Errorf("another spelling is %d, another tool %d", a, b)
	}
	if all := s.All(access.Tool); len(all) != 1 || all[0].Name != "x" || all[0].Title != "X" {
		t.Errorf("tools %v", all)
	}
}

func TestCatalogIsBounded(t *testing.T) {
	s := New().Of("a", "b")
	for i := range maxItems + 5 {
		s.Note(access.Resource, []byte(fmt.Sprint(i)), access.Known, nil)
	}
	s.Note(access.Tool, []byte("x"), access.Known, nil)
	if n, tools := len(s.All(access.Resource)), len(s.All(access.Tool)); n != maxItems || tools != 1 {
		t.Errorf("%d resources, %d tools", n, tools)
	}
	now := time.Now()
	for i := range maxAsked + 5 {
		s.Ask(fmt.Sprint(i), now.Add(time.Duration(i)), nil, func() {})
	}
	if len(s.asked) != maxAsked || s.asked["0"] != nil {
		t.Errorf("%d callers, of them the first: %v", len(s.asked), s.asked["0"])
	}
}

// A server that lists other tools all the time, to everybody, is remembered by what it
// listed last, in as much memory.
func TestListsThatChangeAreRemembered(t *testing.T) {
	s := New().Of("a", "b")
	note := func(kind access.Kind, name string) (*Entry, []byte) {
		definition := []byte(`{"name":"` + name + `"}`)
		_, e := s.Note(kind, []byte(name), access.Known|access.ReadOnly, definition)
		return e, definition
	}
	s.day.Store(1)
	for kind, kept := range map[access.Kind]bool{access.Tool: true, access.Prompt: true, access.ResourceTemplate: true, access.Resource: false} {
		old, first := note(kind, "always there")
		for i := range maxItems - 1 {
			note(kind, fmt.Sprint("first ", i))
		}
		s.day.Store(2)
		note(kind, "always there") // of which the server says the same
		s.day.Store(3)
		if s.Begins(old, first) == nil { // or it was read as it was written
			t.Errorf("%v: what is always there is not known as it was written", kind)
		}
		var last *Entry
		var written []byte
		for i := range maxItems - 1 {
			last, written = note(kind, fmt.Sprint("second ", i))
		}
		for name, want := range map[string]bool{
			"always there": true, "ALWAYS there": true, "first 0": !kept, fmt.Sprint("first ", maxItems-2): !kept,
			"second 0": kept, fmt.Sprint("second ", maxItems-2): kept, fmt.Sprint("SECOND ", maxItems-2): kept,
		} {
			if got := s.Look(kind, name) != 0; got != want {
				t.Errorf("%v: %s is known: %t, want %t", kind, name, got, want)
			}
		}
		if kept != (last != nil) || kept && s.Begins(last, written) == nil {
			t.Errorf("%v: what was listed last is known as it was written: %v", kind, last)
		}
		note(kind, "one more")
		if n := len(s.All(kind)); n != maxItems || s.order[kind].Len() != maxItems {
			t.Errorf("%v: %d are remembered, and %d in order, want %d", kind, n, s.order[kind].Len(), maxItems)
		}
	}
	if kinds := 4; len(s.items) != kinds*maxItems || len(s.spelt) != kinds*maxItems {
		t.Errorf("%d entries by name and %d by spelling, want %d", len(s.items), len(s.spelt), kinds*maxItems)
	}
	size := int64(0)
	for _, e := range s.items {
		if d := e.quick.guess.definition.Load(); d != nil {
			size += int64(len(*d))
		}
	}
	if got := s.guesses.size.Load(); got != size {
		t.Errorf("%d bytes of definitions are counted, and there are %d", got, size)
	}
}

// Calls of one caller at the same time ask once, and all wait for it.
func TestServerIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New().Of("a", "b")
		asked := 0
		var waited atomic.Int32
		for range 3 {
			go func() {
				s.Ask("alice", time.Now(), nil, func() {
					asked++
					time.Sleep(time.Second)
				})
				waited.Add(1)
			}()
		}
		synctest.Wait()
		if n := waited.Load(); asked != 1 || n != 0 {
			t.Errorf("asked %d times, %d did not wait", asked, n)
		}
		gone := make(chan struct{})
		close(gone)
		s.Ask("alice", time.Now(), gone, func() { t.Error("asked again") })
		time.Sleep(time.Second)
		synctest.Wait()
		if n := waited.Load(); n != 3 {
			t.Errorf("%d of 3 went on", n)
		}
		time.Sleep(AskAgain)
		s.Ask("alice", time.Now(), nil, func() { asked++ })
		if asked != 2 {
			t.Errorf("asked %d times after a while", asked)
		}
	})
}

// Definitions are remembered up to a bound, and only as long as they count.
func TestDefinitionsAreBounded(t *testing.T) {
	s := New().Of("a", "b")
	note := func(name string, version byte, size int) (*Entry, []byte) {
		definition := bytes.Repeat([]byte{version}, size)
		_, e := s.Note(access.Tool, []byte(name), access.Known, definition)
		return e, definition
	}
	first, definition := note("x", '1', 1<<20)
	if got := s.Begins(first, append(definition, '2')); !bytes.Equal(got, definition) {
		t.Errorf("of what the server wrote, %d bytes are known, want %d", len(got), len(definition))
	}
	second, again := note("x", '2', 1<<20)
	if s.Begins(first, definition) != nil || s.Begins(second, again) == nil {
		t.Error("what counted before is known, or what counts now is not")
	}
	if got, want := s.guesses.size.Load(), int64(1<<20); got != want {
		t.Errorf("%d bytes are remembered, want %d", got, want)
	}
	for i := range 10 {
		note(fmt.Sprint(i), '3', 1<<20)
	}
	if got, want := s.guesses.size.Load(), int64(maxGuessed); got != want {
		t.Errorf("%d bytes are remembered, want %d", got, want)
	}
}
