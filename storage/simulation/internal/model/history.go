package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Call is a call that was made.
type Call struct {
	*Operation
	Number int
	// Instance is who made it.
	Instance int
	answer   *Answer // nil if nobody saw one
	// settled: the store is done with it, whether or not somebody saw the answer.
	settled bool
}

func (c *Call) String() string {
	text := fmt.Sprintf("#%d %s(%s)", c.Number, c.Verb, c.Args)
	if c.answer != nil {
		text += fmt.Sprintf(" ⇒ %s", c.answer)
	}
	return text
}

// eventKind is what happens in a history.
type eventKind int

const (
	begins   eventKind = iota // a call is made
	answered                  // and its answer was seen
	ended                     // the answer was not seen, but from now on the call has no effect
	noted                     // something else, for people
)

// event is an entry of a history.
type event struct {
	kind eventKind
	call *Call
	at   time.Time
	text string
}

// History is what happened, in order.
type History struct {
	events []event
	Calls  int
}

// Begin notes that an instance makes a call.
func (h *History) Begin(op *Operation, instance int, at time.Time) *Call {
	h.Calls++
	c := &Call{Operation: op, Number: h.Calls, Instance: instance}
	h.events = append(h.events, event{kind: begins, call: c, at: at})
	return c
}

// Answer notes what a call was answered.
func (h *History) Answer(c *Call, a Answer, at time.Time) {
	c.answer, c.settled = &a, true
	h.events = append(h.events, event{kind: answered, call: c, at: at})
}

// End notes that the answer of a call was not seen, and that from now on it has no
// effect any more, if it had one.
func (h *History) End(c *Call, at time.Time) {
	if !c.settled {
		c.settled = true
		h.events = append(h.events, event{kind: ended, call: c, at: at})
	}
}

// Note notes something else, for people.
func (h *History) Note(at time.Time, format string, args ...any) {
	h.events = append(h.events, event{kind: noted, at: at, text: fmt.Sprintf(format, args...)})
}

// Base is when every schedule begins.
var Base = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func (e event) String() string {
	at := e.at.Sub(Base)
	switch e.kind {
	case begins:
		return fmt.Sprintf("%-14s %d  #%d %s(%s)", at, e.call.Instance, e.call.Number, e.call.Verb, e.call.Args)
	case answered:
		return fmt.Sprintf("%-14s %d  #%d %s ⇒ %s", at, e.call.Instance, e.call.Number, e.call.Verb, e.call.answer)
	case ended:
		return fmt.Sprintf("%-14s %d  #%d %s ⇒ nobody saw the answer", at, e.call.Instance, e.call.Number, e.call.Verb)
	}
	return fmt.Sprintf("%-14s -  %s", at, e.text)
}

func (h *History) String() string {
	var b strings.Builder
	for _, e := range h.events {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// Hash is the same for histories in which the same happened. What the store makes
// up by itself, such as the words of an error, is not part of it.
func (h *History) Hash() string {
	sum := sha256.New()
	for _, e := range h.events {
		switch e.kind {
		case noted:
			fmt.Fprintln(sum, e)
		case begins:
			fmt.Fprintln(sum, e.at, e.call.Instance, e.call.Number, e.call.Verb, e.call.Args)
		case answered:
			fmt.Fprintln(sum, e.at, e.call.Number, e.call.answer.Kind())
		case ended:
			fmt.Fprintln(sum, e.at, e.call.Number)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}
