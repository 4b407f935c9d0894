package pins

import (
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxTools bounds how many tools of a server are known, and maxUnapproved how many of
	// them that have never been approved.
	maxTools      = 2048
	maxUnapproved = 256
	// maxApproved and maxPending bound the definitions of a tool. Texts of the newest
	// withTexts approved ones are kept.
	maxApproved = 64
	maxPending  = 8
	withTexts   = 2
	// maxTexts bounds the texts of all of them.
	maxTexts = 4 << 20
	// maxRead bounds how many definitions are known by how they were written.
	maxRead = 4096
	// firstListLasts is how long the first list takes at most, page by page.
	firstListLasts = 10 * time.Minute
	// tellAgain is how soon something is told again of the same tool, and maxTold of how
	// many tools in that time.
	tellAgain = time.Hour
	maxTold   = 100
)

// Pins are the definitions of tools that were approved, of the servers on a store.
type Pins struct {
	mu      sync.Mutex
	servers map[place]*Tools
}

type place struct{ site, server string }

// New returns pins that know nothing yet.
func New() *Pins { return &Pins{servers: map[place]*Tools{}} }

// Of returns those of a server of a site.
func (p *Pins) Of(site, server string) *Tools {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := place{site, server}
	if p.servers[at] == nil {
		p.servers[at] = newTools(server)
	}
	return p.servers[at]
}

// Changed tells that another instance may have stored something else of a server, or
// of any if the site is empty.
func (p *Pins) Changed(site, server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at, t := range p.servers {
		if site == "" || at == (place{site, server}) {
			t.stale.Store(true)
		}
	}
}

// PersonChanged tells that another instance may have stored what somebody approved for
// themselves, or anybody if the site is empty.
func (p *Pins) PersonChanged(site, server, person string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at, t := range p.servers {
		if site == "" || at == (place{site, server}) {
			t.forgetPeople(person)
		}
	}
}

// Tools are the definitions of one server's tools.
type Tools struct {
	server string

	mu    sync.RWMutex
	tools map[string]*tool
	// pinnedAt is when the first list was complete; until then, what is seen is approved.
	pinnedAt time.Time
	began    time.Time // the first list; zero before
	read     map[Hash]Hash
	views    views
	told     told
	texts    int // about how many bytes of definitions there are

	people  people
	stale   atomic.Bool // the store may have something else
	loaded  atomic.Bool // it was read once
	changed atomic.Bool // the store does not have it
	savedAt time.Time   // of Sync alone
}

func newTools(server string) *Tools {
	t := &Tools{server: server, tools: map[string]*tool{}, read: map[Hash]Hash{}}
	t.stale.Store(true)
	return t
}

// Viewer is for whom a server lists its tools.
type Viewer struct {
	// View is the same for all to whom the server lists the same.
	View string
	// Person has approved tools for themselves. Empty if that does not count.
	Person string
}

// News is what is to be told of a tool that was listed.
type News string

// What there can be to tell.
const (
	NoNews  News = ""
	IsNew   News = "new"     // it appeared
	Differs News = "changed" // it is defined otherwise than was approved
)

// Judge remembers how a server defines a tool that it lists, and reports whether that
// was approved. What is to be told of it is told once in a while.
func (t *Tools) Judge(v Viewer, name string, definition []byte, now time.Time) (approved bool, news News) {
	raw := Hash(sha256.Sum256(definition))
	t.mu.RLock()
	hash, known := t.read[raw]
	known = known && t.tools[name].approves(hash) && !t.views.holds(v.View, name)
	t.mu.RUnlock()
	if known { // most of all
		return true, NoNews
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.tools[name]
	d := Definition{Hash: hash}
	if hash, known = t.read[raw]; !known || !one.approves(hash) && !one.awaits(hash) {
		d = define(definition)
		t.note(raw, d.Hash)
	}
	switch {
	case one.approves(d.Hash):
		t.views.release(v.View, name)
		return true, NoNews
	case t.isFirst(now) && (one == nil || len(one.approved) == 0): // what it listed already, it changes
		d.At, d.By = now, ByFirstList
		t.approve(name, d)
		return true, NoNews
	}
	t.await(name, d, v.View == "", now)
	if t.tools[name] != nil { // there was room
		t.views.hold(v.View, name, d.Hash)
	}
	switch {
	case t.people.approved(v.Person, name, d.Hash):
		return true, NoNews
	case !t.told.due(name, now):
		return false, NoNews
	case one == nil || len(one.approved) == 0:
		return false, IsNew
	}
	return false, Differs
}

// note remembers what a definition is as it was written.
func (t *Tools) note(raw, hash Hash) {
	if len(t.read) >= maxRead {
		clear(t.read)
	}
	t.read[raw] = hash
}

// isFirst reports whether what is listed now belongs to the first list.
func (t *Tools) isFirst(now time.Time) bool {
	if !t.pinnedAt.IsZero() {
		return false
	}
	if t.began.IsZero() {
		t.began = now
	}
	if now.Sub(t.began) < firstListLasts {
		return true
	}
	t.pinnedAt = now
	t.changed.Store(true)
	return false
}

// Listed tells that a list came to its end; last, that there are no further pages of
// it. It reports whether that was the first list, so that from now on tools are pinned.
func (t *Tools) Listed(v Viewer, last bool, now time.Time) (pinned bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.views.see(v.View)
	if !last || !t.pinnedAt.IsZero() || t.began.IsZero() { // of a list without tools nothing follows
		return false
	}
	t.pinnedAt = now
	t.changed.Store(true)
	return true
}

// Standing is what a call of a tool comes to.
type Standing uint8

// What a call can come to.
const (
	Held Standing = iota // the tool is held back
	Good
	Unseen // it is not known what the server lists
)

// Look tells whether a tool can be called.
func (t *Tools) Look(v Viewer, name string) Standing {
	t.mu.RLock()
	defer t.mu.RUnlock()
	h, other, seen := t.views.look(v.View, name)
	one := t.tools[name]
	switch {
	case !seen:
		return Unseen
	case one == nil:
		return Held
	case other && (one.approves(h) || t.people.approved(v.Person, name, h)), !other && len(one.approved) > 0:
		return Good
	}
	return Held
}

// approve has a definition count as approved.
func (t *Tools) approve(name string, d Definition) {
	one := t.tools[name]
	if one == nil {
		if len(t.tools) >= maxTools {
			return
		}
		one = new(tool)
		t.tools[name] = one
	}
	one.pending = slices.DeleteFunc(one.pending, func(p Definition) bool { return p.Hash == d.Hash })
	if !one.approves(d.Hash) {
		one.approved = append(one.approved, t.fitting(d))
	}
	one.bound()
	t.changed.Store(true)
}

// await remembers a definition that was not approved; alone, in the place of those
// before: the server lists the same to all.
func (t *Tools) await(name string, d Definition, alone bool, now time.Time) {
	one := t.tools[name]
	if one == nil {
		if !t.hasRoom() {
			return
		}
		one = new(tool)
		t.tools[name] = one
	}
	if alone && len(one.pending) > 1 || alone && !one.awaits(d.Hash) {
		one.pending = slices.DeleteFunc(one.pending, func(p Definition) bool { return p.Hash != d.Hash })
		t.changed.Store(true)
	}
	if one.awaits(d.Hash) {
		return
	}
	d.At = now
	one.pending = append(one.pending, t.fitting(d))
	one.bound()
	t.changed.Store(true)
}

// fitting returns a definition with its texts, as long as there is room for them.
func (t *Tools) fitting(d Definition) Definition {
	if t.texts += d.size(); t.texts > maxTexts {
		d.Texts = nil
	}
	return d
}

// hasRoom reports whether there is room for one more tool that nobody approved.
func (t *Tools) hasRoom() bool {
	unapproved := 0
	for _, one := range t.tools {
		if len(one.approved) == 0 {
			unapproved++
		}
	}
	return unapproved < maxUnapproved && len(t.tools) < maxTools
}
