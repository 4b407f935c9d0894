package catalog

import (
	"fmt"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

// What is listed to one viewer is nothing that another was told, and nobody can have
// others forget what they were told for good, or remember without end.
func TestViewersAreApart(t *testing.T) {
	const reads = access.Known | access.ReadOnly
	s := New().Of("a", "b")
	s.NoteFor("alice", "purge", reads)
	s.NoteFor("bob", "purge", access.Known)
	for viewer, want := range map[string]access.Annotations{"alice": reads, "bob": access.Known, "carol": 0, "": 0} {
		for _, name := range []string{"purge", "Purge "} {
			if got := s.LookFor(viewer, access.Tool, name); got != want {
				t.Errorf("%q to %q: got %d, want %d", name, viewer, got, want)
			}
		}
	}
	s.NoteFor("alice", "purge", access.Known)
	if got := s.LookFor("alice", access.Tool, "purge"); got != access.Known {
		t.Errorf("what was said last: got %d, want %d", got, access.Known)
	}
	for viewer := range 20 {
		for i := range maxItems + 5 {
			s.NoteFor(fmt.Sprint(viewer), fmt.Sprint(i), access.Known)
		}
		s.NoteFor("bob", "other", reads)
		if got := s.LookFor("bob", access.Tool, "other"); got != reads {
			t.Fatalf("%d viewers fill it, and another is told: got %d, want %d", viewer+1, got, reads)
		}
	}
	size := 0
	for viewer, v, more := s.views.of.Oldest(); more; viewer, v, more = s.views.of.Oldest() {
		size += len(v)
		s.views.of.Remove(viewer)
	}
	if size != s.views.size || size > maxViewed {
		t.Errorf("%d are remembered and %d counted, want the same and at most %d", size, s.views.size, maxViewed)
	}
}
