package catalog

import (
	"hash/maphash"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// maxViewed bounds what is known of the lists of all viewers. A viewer who is forgotten
// has the server asked again.
const maxViewed = 1 << 17

// views are what a server says of its tools that may list others to each account, by
// viewer: what it lists to one decides about no call of another.
type views struct {
	of   *cache.LRU[string, view]
	size int // of all views
}

// view is by hashes of the name, and of what its spellings share.
type view map[uint64]access.Annotations

func newViews() views { return views{of: cache.NewLRU[string, view](maxViewed)} }

// NoteFor remembers what the server says of a tool that it listed to a viewer.
func (s *Server) NoteFor(viewer, name string, said access.Annotations) {
	exact := maphash.String(s.seed, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.views.at(viewer)
	if before, known := v[exact]; known && before == said {
		return
	}
	if len(v) >= 2*maxItems { // what it lists from here on may be all that there is
		s.views.size -= len(v)
		clear(v)
	}
	s.views.size -= len(v)
	v[exact], v[s.spelt64(name)] = said, said
	s.views.size += len(v)
	for s.views.size > maxViewed && s.views.of.Len() > 1 {
		oldest, forgotten, _ := s.views.of.Oldest()
		s.views.of.Remove(oldest)
		s.views.size -= len(forgotten)
	}
}

// LookFor returns what the server says of an item to a viewer, 0 if it did not list it to
// them. Without a viewer, it lists the same to everybody.
func (s *Server) LookFor(viewer string, kind access.Kind, name string) access.Annotations {
	if viewer == "" || kind != access.Tool || s == nil {
		return s.Look(kind, name)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, _ := s.views.of.Peek(viewer)
	if said, listed := v[maphash.String(s.seed, name)]; listed {
		return said
	}
	return v[s.spelt64(name)]
}

// spelt64 is the same for all spellings of a name, and no hash of a name.
func (s *Server) spelt64(name string) uint64 {
	return maphash.Comparable(s.seed, key{access.Tool, spelling.Skeleton(name)})
}

// at returns the view of a viewer, which is the newest then.
func (v *views) at(viewer string) view {
	one, known := v.of.Get(viewer)
	if !known {
		one = view{}
		v.of.Put(viewer, one)
	}
	return one
}
