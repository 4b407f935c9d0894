package model

import (
	"fmt"
	"slices"
	"strconv"
)

// possibility is a state that the store may be in, and the calls that are under
// way and may still take effect.
type possibility struct {
	state *state
	open  []*Call
}

// possibilityKey is the same for possibilities that nothing can tell apart.
type possibilityKey struct {
	open  string
	state [numAreas]digest
}

func (p possibility) key() possibilityKey {
	var open []byte
	for _, c := range p.open {
		open = append(strconv.AppendInt(open, int64(c.Number), 10), ' ')
	}
	return possibilityKey{string(open), p.state.key()}
}

func (p possibility) without(c *Call) []*Call {
	return slices.DeleteFunc(slices.Clone(p.open), func(o *Call) bool { return o == c })
}

// maxPossibilities bounds what a history may leave open. A schedule that goes beyond
// it is not judged any further.
const maxPossibilities = 4096

// Wrong is an answer that nothing explains.
type Wrong struct {
	call *Call
	err  error
	// History is what happened until then, as far as it matters.
	History string
}

func (w *Wrong) Error() string { return fmt.Sprintf("%s: %v", w.call, w.err) }

// Judge looks for orders of the calls in which each answer is right
// (linearizability, with the algorithm of Wing and Gong: a call takes effect when
// its answer, or that of one which depends on it, needs it to). Its error is Wrong;
// judged is false if there were too many possibilities to go on to the end.
func (h *History) Judge() (judged bool, err error) {
	at, wrong, gaveUp := judge(h.events)
	if wrong == nil {
		return !gaveUp, nil
	}
	short := History{events: shorten(h.events[:at+1], wrong)}
	return true, &Wrong{call: h.events[at].call, err: wrong, History: short.String()}
}

// judge returns the event that no order explains, and why; and whether it gave up.
func judge(events []event) (at int, wrong error, gaveUp bool) {
	all := []possibility{{state: newState()}}
	for i, e := range events {
		var next []possibility
		add := func(p possibility) { next = append(next, p) }
		switch e.kind {
		case noted:
			continue
		case begins:
			if e.call.answer == nil && e.call.Reads {
				continue // it changes nothing, and nobody learnt anything
			}
			for j := range all {
				all[j].open = append(slices.Clip(all[j].open), e.call)
			}
			continue
		case answered:
			if len(all) == 1 && len(all[0].open) == 1 && all[0].open[0] == e.call { // most often
				all[0].state.changes(e.call.areas)
				if err := e.call.Apply(all[0].state, e.call.answer); err != nil {
					return i, err, false
				}
				all[0].open = nil
				continue
			}
			var reason error
			effect := effect{of: e.call, add: add, wrong: func(err error) {
				if reason == nil {
					reason = err
				}
			}}
			for _, p := range all {
				if !slices.Contains(p.open, e.call) { // it took effect already
					add(p)
					continue
				}
				effect.explain(p)
			}
			if len(next) == 0 {
				return i, reason, false
			}
		case ended:
			if e.call.Reads {
				continue
			}
			effect := effect{of: e.call, add: add, wrong: func(error) {}}
			for _, p := range all {
				add(possibility{p.state, p.without(e.call)})
				if slices.Contains(p.open, e.call) {
					effect.explain(p)
				}
			}
		}
		if len(next) > len(all) || i%16 == 0 {
			next = distinct(next)
		}
		if len(next) > maxPossibilities {
			return i, nil, true
		}
		all = next
	}
	return 0, nil, false
}

// distinct leaves out what is the same as another.
func distinct(all []possibility) []possibility {
	if len(all) == 1 {
		return all
	}
	seen := map[possibilityKey]bool{}
	return slices.DeleteFunc(all, func(p possibility) bool {
		k := p.key()
		had := seen[k]
		seen[k] = true
		return had
	})
}

// effect is that of one call.
type effect struct {
	of *Call
	// add is told what there may be after it, and wrong why there is not.
	add   func(possibility)
	wrong func(error)
	// looked is where the call was looked at: different orders of others come to the
	// same.
	looked map[possibilityKey]bool
}

// explain finds each way in which the call takes effect now: by itself, or after
// others that are under way and whose order matters to it.
func (e *effect) explain(p possibility) {
	if len(p.open) > 2 {
		k := p.key()
		if e.looked[k] {
			return
		}
		if e.looked == nil {
			e.looked = map[possibilityKey]bool{}
		}
		e.looked[k] = true
	}
	after := p.state.clone(e.of.areas)
	if err := e.of.Apply(after, e.of.answer); err != nil {
		e.wrong(err)
	} else {
		e.add(possibility{after, p.without(e.of)})
	}
	for _, other := range p.open {
		if other == e.of || !matters(p.open, other, e.of) {
			continue
		}
		after := p.state.clone(other.areas)
		if other.Apply(after, other.answer) == nil {
			e.explain(possibility{after, p.without(other)})
		}
	}
}

// matters reports whether one call may change what another comes to, by itself or
// by calls between them.
func matters(open []*Call, one, other *Call) bool {
	reach := one.areas
	for grown := true; grown; {
		grown = false
		for _, c := range open {
			if c != other && c.areas&reach != 0 && c.areas&^reach != 0 {
				reach |= c.areas
				grown = true
			}
		}
	}
	return reach&other.areas != 0
}

// shorten cuts a history down to what it takes to be impossible. Calls are left out
// one by one, as long as the last answer is wrong for the same reason.
func shorten(events []event, reason error) []event {
	last := events[len(events)-1]
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.call == last.call || e.kind == answered || e.kind == ended {
			continue
		}
		var fewer []event
		for j, other := range events {
			if j != i && (e.call == nil || other.call != e.call) {
				fewer = append(fewer, other)
			}
		}
		if at, wrong, _ := judge(fewer); wrong != nil && fewer[at].call == last.call && wrong.Error() == reason.Error() {
			events = fewer
			i = min(i, len(events))
		}
	}
	return events
}
