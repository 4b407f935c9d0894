package catalog

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

const (
	// maxItems bounds what is remembered of one server.
	maxItems = 20_000
	// maxName bounds the names that are remembered.
	maxName = 8 << 10
	// maxAsked bounds for how many callers it is remembered that the server was asked.
	maxAsked = 1 << 12
	// AskAgain is how soon a server is asked again for what it did not list.
	AskAgain = time.Minute
)

// Catalog is what the servers of a process offer.
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
		c.servers[at] = &Server{seed: maphash.MakeSeed(), items: map[key]*Entry{}, spelt: map[key]*Entry{}, asked: map[string]*asking{}}
	}
	return c.servers[at]
}

// Server is what is known of one server. Nil knows nothing.
type Server struct {
	seed maphash.Seed

	mu    sync.RWMutex
	items map[key]*Entry
	spelt map[key]*Entry // by what all spellings of a name have in common
	asked map[string]*asking
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
	Annotations access.Annotations
	sum         uint64 // of the definition
}

// asking is a listing for one caller.
type asking struct {
	done chan struct{}
	at   time.Time
}

// Note remembers an item that the server listed.
func (s *Server) Note(item access.Item, definition []byte) {
	if s == nil || len(item.Name) > maxName {
		return
	}
	sum := maphash.Bytes(s.seed, definition)
	at := key{item.Kind, item.Name}
	s.mu.RLock()
	known := s.items[at]
	full := len(s.items) >= maxItems
	s.mu.RUnlock()
	if known != nil && known.sum == sum || known == nil && full {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &Entry{item.Kind, item.Name, item.Annotations, sum}
	s.items[at], s.spelt[at.spelt()] = e, e
}

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
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Ask has the server asked for its list as a caller, unless it was lately. It returns
// when that is done; for a caller for whom it is being done, when that is. done ends
// the waiting of one who does not ask.
func (s *Server) Ask(caller string, now time.Time, done <-chan struct{}, ask func()) {
	s.mu.Lock()
	if a := s.asked[caller]; a != nil && now.Sub(a.at) < AskAgain {
		s.mu.Unlock()
		select {
		case <-a.done:
		case <-done:
		}
		return
	}
	s.forget(now)
	a := &asking{make(chan struct{}), now}
	s.asked[caller] = a
	s.mu.Unlock()
	defer close(a.done)
	ask()
}

// forget makes room for one more caller.
func (s *Server) forget(now time.Time) {
	if len(s.asked) < maxAsked {
		return
	}
	oldest := ""
	for caller, a := range s.asked {
		switch {
		case now.Sub(a.at) >= AskAgain:
			delete(s.asked, caller)
		case oldest == "" || a.at.Before(s.asked[oldest].at):
			oldest = caller
		}
	}
	if len(s.asked) >= maxAsked {
		delete(s.asked, oldest)
	}
}
