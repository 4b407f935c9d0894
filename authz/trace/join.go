package trace

import (
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

const (
	// together is how long after a step another one of a stranger from the same
	// place belongs to it.
	together = 10 * time.Minute
	// returns is how long a client that had tokens is known by its place.
	returns = 24 * time.Hour
	// perKey bounds the traces that one key finds: the last ones.
	perKey = 16
	// maxKeys bounds by how much one trace is found. There is room for what one
	// event adds.
	maxKeys = 40
	keySize = 200 // bytes, with its place in the index
)

// key is what a trace is found by.
type key struct {
	by    by
	site  string
	value string
	more  string
}

type by uint8

const (
	_ by = iota
	byFlow
	byGrant
	byConnection
	byClient
	byPerson    // and server
	byPlace     // address and program
	byAddress   // alone
	byReference // what somebody was shown
)

// keysOf returns by what an event, and the trace that it belongs to, is found.
func keysOf(e *event.Event) []key {
	keys := make([]key, 0, 8)
	add := func(b by, value, more string) {
		if value != "" {
			keys = append(keys, key{b, e.Site, cut(value), cut(more)})
		}
	}
	add(byFlow, e.Flow, "")
	add(byGrant, e.Grant, "")
	add(byConnection, e.Connection, "")
	add(byClient, e.Client, "")
	if e.Server != "" {
		add(byPerson, e.Person, e.Server)
	}
	add(byPlace, e.Address, e.Agent)
	add(byAddress, e.Address, "")
	add(byReference, e.Reference, "")
	return keys
}

// find returns the trace that an event belongs to, and how sure that is, or nil.
func (r *Recorder) find(e *event.Event) (*live, Join) {
	for _, certain := range []key{{by: byFlow, value: e.Flow}, {by: byGrant, value: e.Grant}} {
		if t := r.latest(certain, e.Site); t != nil {
			return t, Certain
		}
	}
	if e.Client != "" {
		return r.ofClient(e)
	}
	if e.Connection != "" || e.Person != "" {
		return r.ofPerson(e)
	}
	return r.ofStranger(e)
}

// ofClient finds the trace of a client that says its client_id. A new sign-in is
// only ever the first of its trace.
func (r *Recorder) ofClient(e *event.Event) (*live, Join) {
	all := r.index[key{byClient, e.Site, cut(e.Client), ""}]
	open := slices.DeleteFunc(slices.Clone(all), func(t *live) bool {
		return e.Flow != "" && t.Flow != "" || !t.recent(e.Time, returns)
	})
	if len(open) > 0 {
		return bestOf(open, e)
	}
	if len(all) > 0 && e.Flow == "" {
		return all[len(all)-1], Possible
	}
	return r.before(e)
}

// bestOf chooses among the traces of a client: the last one from where the event
// came from, else the last.
func bestOf(open []*live, e *event.Event) (*live, Join) {
	last := open[len(open)-1]
	if last.registered && len(open) == 1 {
		return last, Certain
	}
	for _, t := range slices.Backward(open) {
		if t.Address == e.Address {
			return t, Likely
		}
	}
	if len(open) == 1 {
		return last, Likely
	}
	return last, Possible
}

// before finds the trace of a stranger who comes back with a client_id: by the
// place that it asks from or, for a browser, by the address, which the client of its
// person has too if it runs on the same machine.
func (r *Recorder) before(e *event.Event) (*live, Join) {
	anonymous := func(t *live) bool {
		return t.Client == "" && t.Flow == "" && t.Grant == "" && t.Person == "" && t.recent(e.Time, together)
	}
	if t, join := onlyOne(r.index[key{byPlace, e.Site, cut(e.Address), cut(e.Agent)}], anonymous); t != nil {
		return t, join
	}
	if !isBrowser(e.Agent) {
		return nil, ""
	}
	return onlyOne(r.index[key{byAddress, e.Site, cut(e.Address), ""}], anonymous)
}

// onlyOne returns the last of those that match: likely if there is no other.
func onlyOne(all []*live, matches func(*live) bool) (found *live, join Join) {
	for _, t := range slices.Backward(all) {
		switch {
		case !matches(t):
		case found != nil:
			return found, Possible
		default:
			found, join = t, Likely
		}
	}
	return found, join
}

// ofPerson finds the trace of somebody whose account, or who themselves, are the
// matter, when no client is: the one in which something happened last.
func (r *Recorder) ofPerson(e *event.Event) (*live, Join) {
	if e.Flow != "" { // of a trace that was dropped
		return nil, ""
	}
	all := slices.Concat(r.index[key{byConnection, e.Site, cut(e.Connection), ""}], r.index[key{byPerson, e.Site, cut(e.Person), cut(e.Server)}])
	var last *live
	join := Certain
	for _, t := range all {
		switch {
		case t == last || !t.recent(e.Time, returns):
		case last == nil:
			last = t
		case join != "":
			join = Likely
			if t.Last.After(last.Last) {
				last = t
			}
		}
	}
	return last, join
}

// ofStranger finds the trace of a request that says nothing of who sent it: the
// one that goes on at its place. A token that is good no more may be that of a
// client that was there before.
func (r *Recorder) ofStranger(e *event.Event) (*live, Join) {
	within := together
	if e.Kind == event.GateRefused && e.Reason != NoToken {
		within = returns
	}
	place := r.index[key{byPlace, e.Site, cut(e.Address), cut(e.Agent)}]
	return onlyOne(place, func(t *live) bool { return t.recent(e.Time, within) })
}

func (r *Recorder) latest(k key, site string) *live {
	if k.value == "" {
		return nil
	}
	k.site, k.value, k.more = site, cut(k.value), cut(k.more)
	all := r.index[k]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

func (r *Recorder) addKey(t *live, k key) {
	all := r.index[k]
	if slices.Contains(all, t) {
		return
	}
	if len(all) == perKey {
		r.removeKey(all[0], k)
		all = r.index[k]
	}
	r.index[k] = append(all, t)
	t.keys = append(t.keys, k)
	t.size += keySize
	r.bytes += keySize
}

func (r *Recorder) removeKey(t *live, k key) {
	t.keys = slices.DeleteFunc(t.keys, func(other key) bool { return other == k })
	t.size -= keySize
	r.bytes -= keySize
	all := slices.DeleteFunc(r.index[k], func(other *live) bool { return other == t })
	if len(all) == 0 {
		delete(r.index, k)
		return
	}
	r.index[k] = all
}
