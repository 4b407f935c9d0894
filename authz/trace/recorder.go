package trace

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Limits bound what a Recorder keeps.
type Limits struct {
	// Strangers is how many traces are kept in which nobody signed in, and Known
	// how many in which somebody did. Neither pushes out the other.
	Strangers, Known int
	// Bytes is for all of them.
	Bytes int
	// Sender is how many of the strangers' one block of addresses has, and Person how
	// many of the known ones somebody has.
	Sender, Person int
}

// DefaultLimits suit a process.
var DefaultLimits = Limits{Strangers: 1000, Known: 2000, Bytes: 16 << 20, Sender: 50, Person: 100}

// spare is which part of the room for known traces is made free at once when there is
// none left: to look whose it should be takes a while.
const spare = 16

// Recorder keeps the last traces of a process, for all of its sites. It is an
// event.Sink.
type Recorder struct {
	limits Limits
	block  func(address string) string

	mu        sync.Mutex // guards all below
	strangers *list.List // of *live, the one that something happened in last first
	known     *list.List
	bytes     int
	index     map[key][]*live
	senders   map[string]int   // strangers by block
	people    map[string]int   // known by person
	unsaved   map[string]*live // by ID
}

// live is a trace that may go on.
type live struct {
	Trace
	size   int
	at     *list.Element
	in     *list.List
	sender string
	keys   []key
	saved  time.Time // when it was last
	// registered tells that its client registered here, so that it is one program
	// on one machine, as a rule.
	registered bool
}

// NewRecorder returns an empty recorder. block returns the block of addresses that
// count as one sender.
func NewRecorder(limits Limits, block func(address string) string) *Recorder {
	return &Recorder{
		limits: limits, block: block, strangers: list.New(), known: list.New(),
		index: map[key][]*live{}, senders: map[string]int{}, people: map[string]int{}, unsaved: map[string]*live{},
	}
}

// Record adds an event to the trace that it belongs to.
func (r *Recorder) Record(e *event.Event) {
	if !isStep(e) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, join := r.find(e)
	if t == nil {
		t = r.begin(e)
		join = Certain
	}
	r.learn(t, e)
	s := stepOf(e, join)
	grown := t.add(s)
	t.size += grown
	r.bytes += grown
	r.touch(t)
	if s.IsFailure() && t.matters() {
		r.unsaved[t.ID] = t
	}
	r.bound(t)
}

// isStep reports whether an event is part of somebody's way: who an operator is, or
// that a site has a problem, is none.
func isStep(e *event.Event) bool {
	switch e.Kind {
	case event.Suppressed, event.OperatorActed, event.KeyMade, event.KeyChanged, event.KeyDeleted,
		event.InitialTokenMade, event.InitialTokenDeleted:
		return false
	}
	return e.Client != "" || e.Flow != "" || e.Grant != "" || e.Connection != "" || e.Person != "" || e.Address != ""
}

func (r *Recorder) begin(e *event.Event) *live {
	t := &live{in: r.strangers, sender: r.block(e.Address)}
	t.ID, t.Site, t.Began, t.size = uuid.NewString(), e.Site, e.Time, stepSize
	t.at = r.strangers.PushFront(t)
	r.senders[t.sender]++
	r.bytes += t.size
	return t
}

// learn adds what an event says about a trace, and by what it is found from now on.
func (r *Recorder) learn(t *live, e *event.Event) {
	t.learn(e)
	t.registered = t.registered || e.Kind == event.ClientRegistered
	for _, k := range keysOf(e) {
		r.addKey(t, k)
	}
	for len(t.keys) > maxKeys { // places first; what has none has too many of another kind
		place := slices.IndexFunc(t.keys, func(k key) bool { return k.by >= byPlace })
		r.removeKey(t, t.keys[max(place, 0)])
	}
	if t.Person != "" && t.in == r.strangers {
		r.strangers.Remove(t.at)
		r.forgetSender(t)
		t.in = r.known
		t.at = r.known.PushFront(t)
		r.people[t.Person]++
	}
}

func (r *Recorder) touch(t *live) { t.in.MoveToFront(t.at) }

// bound drops what is too much, but never t.
func (r *Recorder) bound(t *live) {
	switch {
	case t.in == r.strangers && r.senders[t.sender] > r.limits.Sender:
		r.drop(oldestOf(r.strangers, func(other *live) bool { return other.sender == t.sender }))
	case t.in == r.known && r.people[t.Person] > r.limits.Person:
		r.drop(oldestOf(r.known, func(other *live) bool { return other.Person == t.Person }))
	}
	for r.strangers.Len() > r.limits.Strangers {
		r.drop(oldest(r.strangers))
	}
	if more := r.known.Len() - r.limits.Known; more > 0 {
		r.makeRoom(t, func(*live) int { return 1 }, more+r.limits.Known/spare)
	}
	for r.bytes > r.limits.Bytes && r.strangers.Len() > 0 && oldest(r.strangers) != t {
		r.drop(oldest(r.strangers))
	}
	if more := r.bytes - r.limits.Bytes; more > 0 {
		r.makeRoom(t, func(other *live) int { return other.size }, more+r.limits.Bytes/spare)
	}
}

func oldest(l *list.List) *live { return l.Back().Value.(*live) }

// oldestOf returns the oldest that is meant, of which there is one.
func oldestOf(l *list.List, meant func(*live) bool) *live {
	e := l.Back()
	for !meant(e.Value.(*live)) {
		e = e.Prev()
	}
	return e.Value.(*live)
}

// makeRoom drops known traces, but never t, until there is so much room for others.
func (r *Recorder) makeRoom(t *live, room func(*live) int, enough int) {
	others := make([]*live, 0, r.known.Len())
	for e := r.known.Back(); e != nil; e = e.Prev() {
		if other := e.Value.(*live); other != t {
			others = append(others, other)
		}
	}
	for _, other := range giveWay(others, func(other *live) (string, string, int) { return other.sender, other.Person, room(other) }, enough) {
		r.drop(other)
	}
}

func (r *Recorder) drop(t *live) {
	t.in.Remove(t.at)
	if t.in == r.strangers {
		r.forgetSender(t)
	} else if r.people[t.Person]--; r.people[t.Person] == 0 {
		delete(r.people, t.Person)
	}
	for len(t.keys) > 0 {
		r.removeKey(t, t.keys[len(t.keys)-1])
	}
	r.bytes -= t.size
	delete(r.unsaved, t.ID)
}

func (r *Recorder) forgetSender(t *live) {
	if r.senders[t.sender]--; r.senders[t.sender] == 0 {
		delete(r.senders, t.sender)
	}
}

// matters reports whether a trace is worth to be saved. One that is nothing but
// wrong tokens is that of somebody who tries, or of a client that is met again.
func (t *live) matters() bool {
	return t.Client != "" || t.Person != "" ||
		slices.ContainsFunc(t.Steps, func(s Step) bool { return s.Kind != event.GateRefused.String() && s.IsFailure() })
}

// Unsaved returns traces of a site that failed and are not saved as they are now, at
// most so many, those first in which somebody signed in. One that was saved after
// since has to wait.
func (r *Recorder) Unsaved(site string, limit int, since time.Time) []*Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	var known, strangers []*live
	for _, t := range r.unsaved {
		switch {
		case t.Site != site || t.saved.After(since):
		case t.Person != "":
			known = append(known, t)
		default:
			strangers = append(strangers, t)
		}
	}
	all := append(known, strangers...)
	unsaved := make([]*Trace, min(len(all), limit))
	for i := range unsaved {
		unsaved[i] = all[i].clone()
	}
	return unsaved
}

// Saved notes that traces are saved as they are.
func (r *Recorder) Saved(traces []*Trace, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range traces {
		saved := r.unsaved[t.ID]
		if saved == nil {
			continue
		}
		if saved.saved = now; saved.Last.Equal(t.Last) {
			delete(r.unsaved, t.ID)
		}
	}
}

// Quantity tells what is kept.
func (r *Recorder) Quantity() (traces, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.strangers.Len() + r.known.Len(), r.bytes
}

// all returns what is kept, the one that something happened in last first.
func (r *Recorder) all(matches func(*Trace) bool) []*Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*Trace
	for _, l := range []*list.List{r.known, r.strangers} {
		for e := l.Front(); e != nil; e = e.Next() {
			if t := e.Value.(*live); matches(&t.Trace) {
				found = append(found, t.clone())
			}
		}
	}
	return found
}

var _ event.Sink = (*Recorder)(nil)

// recent reports whether a trace had a step within a time before another.
func (t *live) recent(now time.Time, within time.Duration) bool { return now.Sub(t.Last) <= within }
