package catalog

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
)

const (
	// HeardFor is for how long a page shows a list that was asked for.
	HeardFor = 10 * time.Minute
	// maxHearings and maxHeardBytes bound what is known of the lists of all people. Whoever
	// is forgotten is asked for again.
	maxHearings   = 1 << 10
	maxHeardBytes = 16 << 20
	// entryBytes is about what an Entry takes besides its texts.
	entryBytes = 96
)

// hearings are the lists that were asked for, by person. They are apart from what the
// server said to others: it may list other tools to each.
type hearings struct {
	of   *cache.LRU[string, hearing] // of which the oldest was heard first: to show one is no use
	size int                         // of all of them, in bytes
}

type hearing struct {
	at    time.Time
	tools []Entry
	size  int // about how much memory it takes
}

func newHearings() hearings { return hearings{of: cache.NewLRU[string, hearing](maxHearings)} }

func newHearing(tools []Entry, now time.Time) hearing {
	size := len(tools) * entryBytes
	for i := range tools {
		size += len(tools[i].Name) + len(tools[i].Title)
	}
	return hearing{now, tools, size}
}

// Hear remembers the tools that the server listed, in whole, when it was asked for
// somebody. Those of a server that lists the same to everybody are for Note.
func (s *Server) Hear(person string, tools []Entry, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, heard := &s.heard, newHearing(tools, now)
	h.forget(person)
	for {
		oldest, first, ok := h.of.Oldest()
		if !ok || now.Sub(first.at) < HeardFor && h.of.Len() < maxHearings && h.size+heard.size <= maxHeardBytes {
			break
		}
		h.forget(oldest)
	}
	h.of.Put(person, heard)
	h.size += heard.size
}

// Heard returns what the server listed when it was asked for somebody, if that was
// lately.
func (s *Server) Heard(person string, now time.Time) (tools []Entry, lately bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, known := s.heard.of.Peek(person)
	if !known || now.Sub(h.at) >= HeardFor {
		return nil, false
	}
	return h.tools, true
}

func (h *hearings) forget(person string) {
	if known, ok := h.of.Peek(person); ok {
		h.size -= known.size
		h.of.Remove(person)
	}
}

// NewTool returns a tool as a server defines it.
func NewTool(name string, said access.Annotations, definition []byte) Entry {
	return Entry{Kind: access.Tool, Name: name, Title: titleOf(definition), Annotations: said}
}
