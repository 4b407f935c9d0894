package catalog

import (
	"cmp"
	"crypto/sha256"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

const (
	// maxItems bounds what is remembered of one kind of one server: what was listed last,
	// but of resources, which no rule asks for, what was listed first.
	maxItems = 5_000
	// maxName bounds the names that are remembered. No rule allows longer ones.
	maxName = access.MaxName
)

// Catalog is what the servers on a store offer.
type Catalog struct {
	mu      sync.Mutex
	servers map[place]*Server
}

type place struct{ site, server string }

// New returns a catalog that knows nothing yet.
func New() *Catalog { return &Catalog{servers: map[place]*Server{}} }

// Of returns what is known of a server of a site.
func (c *Catalog) Of(site, server string) *Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := place{site, server}
	if c.servers[at] == nil {
		s := &Server{id: server, seed: maphash.MakeSeed(), items: map[key]*Entry{}, spelt: map[key]*Entry{}, asked: map[string]*asking{}, heard: newHearings(), views: newViews()}
		for kind := range s.order {
			s.order[kind] = cache.NewLRU[string, *Entry](maxItems)
		}
		s.stale.Store(true)
		c.servers[at] = s
	}
	return c.servers[at]
}

// Changed tells that another instance may have stored something else of a server, or
// of any if the site is empty.
func (c *Catalog) Changed(site, server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at, s := range c.servers {
		if site == "" || at == (place{site, server}) {
			s.stale.Store(true)
		}
	}
}

// Server is what is known of one server. Nil knows nothing.
type Server struct {
	id   string
	seed maphash.Seed
	day  atomic.Int64 // today, as far as is known

	mu    sync.RWMutex
	items map[key]*Entry
	order [access.Prompt + 1]*cache.LRU[string, *Entry] // by kind, by the day on which they were listed last
	spelt map[key]*Entry                                // by what all spellings of a name have in common
	asked map[string]*asking
	heard hearings
	views views

	guesses guesses

	ended   atomic.Uint32 // by kind, whether a list came to its end
	stale   atomic.Bool   // the store may have something else
	changed atomic.Bool   // the store does not have it
	savedAt time.Time     // of Sync alone
}

type key struct {
	kind access.Kind
	name string
}

// spelt is the same for all spellings of a name.
func (k key) spelt() key { return key{k.kind, spelling.Skeleton(k.name)} }

// Entry is one item.
type Entry struct {
	Kind        access.Kind
	Name        string
	Title       string // as people are shown it; may be empty
	Annotations access.Annotations
	// Hash is of the definition, as the server wrote it.
	Hash [16]byte

	quick *quick
}

// quick is what is known of an entry besides what the store has of it.
type quick struct {
	sum   atomic.Uint64 // of the definition; 0 if it came from the store
	day   atomic.Int64  // on which the server listed it last
	fresh atomic.Bool   // the store does not have it so
	guess guess
}

// Note remembers an item that the server listed, and returns its name and, unless there
// is no room for it, its entry. That costs no allocation for one that it knows.
func (s *Server) Note(kind access.Kind, name []byte, said access.Annotations, definition []byte) (string, *Entry) {
	if s == nil || len(name) > maxName {
		return string(name), nil
	}
	sum := maphash.Bytes(s.seed, definition)
	s.mu.RLock()
	known := s.items[key{kind, string(name)}]
	full := s.isFull(kind)
	s.mu.RUnlock()
	switch {
	case known == nil && full && !isKept(kind):
		return string(name), nil
	case known != nil && known.quick.sum.Load() == sum:
		s.seen(known)
		return known.Name, known
	}
	whole := sha256.Sum256(definition)
	hash := [16]byte(whole[:])
	if known != nil && known.Hash == hash && known.Annotations == said { // from the store
		known.quick.sum.Store(sum)
		s.mu.Lock()
		if s.items[key{kind, known.Name}] == known {
			s.keepDefinition(known, definition)
		}
		s.mu.Unlock()
		s.seen(known)
		return known.Name, known
	}
	e := &Entry{kind, string(name), titleOf(definition), said, hash, new(quick)}
	e.quick.sum.Store(sum)
	e.quick.day.Store(s.day.Load())
	s.mu.Lock()
	s.keepDefinition(e, definition)
	s.put(e)
	s.mu.Unlock()
	s.touch(e)
	return e.Name, e
}

func (s *Server) isFull(kind access.Kind) bool { return s.order[kind].Len() >= maxItems }

// put remembers an entry, under the lock, in the place of the one of its kind that was
// listed least lately if there are many.
func (s *Server) put(e *Entry) {
	at := key{e.Kind, e.Name}
	if before := s.items[at]; before != nil {
		s.dropDefinition(before)
	} else if s.isFull(e.Kind) {
		_, oldest, _ := s.order[e.Kind].Oldest()
		s.drop(oldest)
	}
	s.items[at], s.spelt[at.spelt()] = e, e
	s.order[e.Kind].Put(e.Name, e)
}

func (s *Server) drop(e *Entry) {
	at := key{e.Kind, e.Name}
	s.dropDefinition(e)
	delete(s.items, at)
	if spelt := at.spelt(); s.spelt[spelt] == e {
		delete(s.spelt, spelt)
	}
	s.order[e.Kind].Remove(e.Name)
}

// seen notes that the server still has an entry.
func (s *Server) seen(e *Entry) {
	if today := s.day.Load(); e.quick.day.Swap(today) != today {
		s.mu.Lock()
		s.order[e.Kind].Get(e.Name) // which is the newest then
		s.mu.Unlock()
		s.touch(e)
	}
}

// touch has an entry stored.
func (s *Server) touch(e *Entry) {
	e.quick.fresh.Store(true)
	if isKept(e.Kind) {
		s.changed.Store(true)
	}
}

// Ended tells that a list of a kind was read to its end.
func (s *Server) Ended(kind access.Kind) {
	if s != nil {
		s.ended.Or(1 << kind)
	}
}

// HasEnded reports whether all that the server has of a kind was listed to somebody in
// this process.
func (s *Server) HasEnded(kind access.Kind) bool { return s != nil && s.ended.Load()&(1<<kind) != 0 }

// Look returns what the server says of an item, 0 if it did not list it. What it did
// not list, but under another spelling, is that: some servers do not tell them apart.
func (s *Server) Look(kind access.Kind, name string) access.Annotations {
	if s == nil {
		return 0
	}
	at := key{kind, name}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.items[at]
	if e == nil {
		e = s.spelt[at.spelt()]
	}
	if e == nil {
		return 0
	}
	return e.Annotations
}

// All returns what is known of a kind, by name.
func (s *Server) All(kind access.Kind) []Entry {
	var all []Entry
	if s == nil {
		return nil
	}
	s.mu.RLock()
	for _, e := range s.items {
		if e.Kind == kind {
			all = append(all, *e)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(all, compare)
	return all
}

func compare(a, b Entry) int { return cmp.Compare(a.Name, b.Name) }
