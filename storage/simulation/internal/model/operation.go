package model

import (
	"context"
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
