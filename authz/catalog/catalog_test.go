package catalog

import (
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
	s.Note(access.Item{Kind: access.Tool, Name: "x", Annotations: access.Known}, []byte("1"))
	s.Note(access.Item{Kind: access.Tool, Name: "x", Annotations: access.Known | access.ReadOnly}, []byte("2"))
	s.Note(access.Item{Kind: access.Prompt, Name: "p", Annotations: access.Known}, nil)
	s.Note(access.Item{Kind: access.Tool, Name: strings.Repeat("x", maxName+1)}, nil)
	if got := c.Of("https://a", "one").Look(access.Tool, "x"); got != access.Known|access.ReadOnly {
		t.Errorf("x is %d", got)
	}
	if a, b := s.Look(access.Prompt, "x"), c.Of("https://b", "one").Look(access.Tool, "x"); a != 0 || b != 0 {
		t.Errorf("known of others: %d, %d", a, b)
	}
	if a, b := s.Look(access.Tool, "X "), s.Look(access.Tool, "y"); a != access.Known|access.ReadOnly || b != 0 {
		t.Errorf("another spelling is %d, another tool %d", a, b)
	}
	if all := s.All(access.Tool); len(all) != 1 || all[0].Name != "x" {
		t.Errorf("tools %v", all)
	}
}

func TestCatalogIsBounded(t *testing.T) {
	s := New().Of("a", "b")
	for i := range maxItems + 5 {
		s.Note(access.Item{Kind: access.Resource, Name: fmt.Sprint(i), Annotations: access.Known}, nil)
	}
	if n := len(s.All(access.Resource)); n != maxItems {
		t.Errorf("%d items", n)
	}
	now := time.Now()
	for i := range maxAsked + 5 {
		s.Ask(fmt.Sprint(i), now.Add(time.Duration(i)), nil, func() {})
	}
	if len(s.asked) != maxAsked || s.asked["0"] != nil {
		t.Errorf("%d callers, of them the first: %v", len(s.asked), s.asked["0"])
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
