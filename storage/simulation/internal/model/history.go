package model

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Operation is one call of a verb, and what the contract says of it.
type Operation struct {
	Verb string
	Args string // for people
	// Do makes the call. Times are those of the instance.
	Do func(ctx context.Context, s storage.Store, c Clock) Answer
	// Apply changes a state as the contract says, and tells what is wrong with the
	// answer. got is nil if nobody saw it.
	Apply func(s *state, got *Answer) error
	// Reads: it changes nothing.
	Reads bool
	// Alone: it is no single moment, and nothing else is to be at work meanwhile.
	Alone bool
	// Saw, unless nil, is told of the answer, as whoever calls is.
	Saw func(got Answer)

	areas area // that it reads and changes
}

// Answer is what a verb answered.
type Answer struct {
	verdict storage.Verdict
	decides bool // there is a verdict
	value   any
	err     error
}

// Lost is what whoever called is told when the answer got lost.
func Lost(err error) Answer { return Answer{err: err} }

// Err is the error of the answer.
func (a Answer) Err() error { return a.err }

func verdict(v storage.Verdict, value any, err error) Answer {
	return Answer{verdict: v, decides: true, value: value, err: err}
}

// done is the answer of a verb with nothing but an error.
func done(err error) Answer { return Answer{err: err} }

// found is the answer of a verb that reads.
func found[T any](value T, err error) Answer { return Answer{value: value, err: err} }

// Failed reports whether the store said that it could not do its work.
func (a Answer) Failed() bool { return a.err != nil && !errors.Is(a.err, storage.ErrNotFound) }

// Kind is what is counted of an answer.
func (a Answer) Kind() string {
	switch {
	case errors.Is(a.err, storage.ErrNotFound):
		return "not found"
	case a.err != nil:
		return "error"
	case a.decides:
		return a.verdict.String()
	}
	if b, is := a.value.(bool); is {
		return fmt.Sprint(b)
	}
	return "done"
}

func (a Answer) String() string {
	text := a.Kind()
	if a.Failed() {
		return "error: " + a.err.Error()
	}
	if b, is := a.value.(fmt.Stringer); is && a.err == nil {
		text += " " + b.String()
	}
	return text
}

// wants tells what is wrong with a verdict. Of several, each is right.
func (a *Answer) wants(right ...storage.Verdict) error {
	if a == nil || a.err == nil && slices.Contains(right, a.verdict) {
		return nil
	}
	var names []string
	for _, v := range right {
		names = append(names, v.String())
	}
	return fmt.Errorf("got %s, want %s", a, strings.Join(names, " or "))
}

// isDone tells whether a verb without verdict did its work.
func (a *Answer) isDone() error {
	if a == nil || a.err == nil {
		return nil
	}
	return fmt.Errorf("got %s, want no error", a)
}

// isThere compares whether a record is there.
func (a *Answer) isThere(want bool) error {
	switch {
	case a == nil || want == (a.err == nil):
		return nil
	case want:
		return fmt.Errorf("got %s, want the record", a)
	}
	return fmt.Errorf("got a record, want not found")
}

// equal compares something of an answer.
func equal[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}

// same compares lists of names.
func same(what string, got, want []string) error {
	if slices.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}

// Clock is that of an instance: how far it is ahead of the true time.
type Clock struct{ Ahead time.Duration }

// At is a true time as the instance says it.
func (c Clock) At(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(c.Ahead)
}

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
