package catalog

import (
	"bytes"
	"sync/atomic"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
)

// maxGuessed bounds the definitions of one server that are remembered as they were
// written.
const maxGuessed = 4 << 20

// A server mostly writes a list as it wrote it before. Who reads one can compare it with
// that, which costs a fraction of reading it: after each entry, the one that came next
// the last time is the Guess.
type (
	guesses struct {
		first [access.Prompt + 1]atomic.Pointer[Entry] // by kind, which a list began with
		size  atomic.Int64                             // of all definitions
	}
	guess struct {
		definition atomic.Pointer[[]byte] // as the server wrote it; nil if another counts by now
		next       atomic.Pointer[Entry]
	}
)

// Guess returns which entry a list goes on with, or nil: after is what it had before,
// nil if it begins.
func (s *Server) Guess(kind access.Kind, after *Entry) *Entry {
	switch {
	case s == nil:
		return nil
	case after == nil:
		return s.guesses.first[kind].Load()
	}
	return after.quick.guess.next.Load()
}

// Follows notes with which entry a list went on.
func (s *Server) Follows(kind access.Kind, after, e *Entry) {
	place := &s.guesses.first[kind]
	if after != nil {
		place = &after.quick.guess.next
	}
	if place.Load() != e {
		place.Store(e)
	}
}

// Begins returns the definition of an entry if that is what a text begins with, as
// Note would be told, and notes that the server still has it; else nil.
func (s *Server) Begins(e *Entry, text []byte) []byte {
	definition := e.quick.guess.definition.Load()
	if definition == nil || !bytes.HasPrefix(text, *definition) {
		return nil
	}
	s.seen(e)
	return *definition
}

// keepDefinition remembers how the server wrote an entry, under the lock, if there is
// room.
func (s *Server) keepDefinition(e *Entry, definition []byte) {
	if size := int64(len(definition)); s.guesses.size.Add(size) > maxGuessed {
		s.guesses.size.Add(-size)
		return
	}
	kept := bytes.Clone(definition)
	if before := e.quick.guess.definition.Swap(&kept); before != nil {
		s.guesses.size.Add(-int64(len(*before)))
	}
}

// dropDefinition forgets how the server wrote an entry: another has taken its place.
func (s *Server) dropDefinition(e *Entry) {
	if before := e.quick.guess.definition.Swap(nil); before != nil {
		s.guesses.size.Add(-int64(len(*before)))
	}
	e.quick.guess.next.Store(nil)
}
