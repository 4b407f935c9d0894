package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Judge returns an error that has the operations of each family which could not
// have happened one after another.
func Judge(all []Operation) error {
	families := map[string][]Operation{}
	for _, o := range all {
		families[o.Family] = append(families[o.Family], o)
	}
	var wrong []error
	for name, operations := range families {
		if twice := spentTwice(operations); twice != "" {
			wrong = append(wrong, fmt.Errorf("family %s: %s:\n%s", name, twice, describe(operations)))
			continue
		}
		result := porcupine.CheckOperationsTimeout(model, timed(operations), time.Minute)
		if result != porcupine.Ok {
			wrong = append(wrong, fmt.Errorf("family %s is %s:\n%s", name, map[porcupine.CheckResult]string{
				porcupine.Illegal: "impossible", porcupine.Unknown: "not judged within a minute",
			}[result], describe(operations)))
		}
	}
	return errors.Join(wrong...)
}

// spentTwice tells what is wrong whatever the order was: with many racers, it would
// take too long to try all orders.
func spentTwice(operations []Operation) string {
	claimed, successors := false, map[string]string{}
	for _, o := range operations {
		switch next, known := successors[o.Token]; {
		case o.Outcome != Done || o.Kind == Revoke:
		case o.Kind == Redeem && claimed:
			return "the code was claimed twice"
		case o.Kind == Redeem:
			claimed = true
		case known && next != o.Next:
			return "a refresh token has two successors"
		default:
			successors[o.Token] = o.Next
		}
	}
	return ""
}

// timed returns operations as porcupine reads them: one whose answer is lost may
// still happen after all others.
func timed(operations []Operation) []porcupine.Operation {
	var last int64
	for _, o := range operations {
		last = max(last, o.Answered.UnixNano())
	}
	var out []porcupine.Operation
	for i, o := range operations {
		returned := o.Answered.UnixNano()
		if o.Outcome == Lost {
			returned = last + 1
		}
		out = append(out, porcupine.Operation{ClientId: i, Input: o, Call: o.Asked.UnixNano(), Output: o, Return: returned})
	}
	return out
}

// state of a family.
type state struct {
	phase phase
	// head is the newest refresh token, and before the one that it replaced.
	head, before string
}

type phase int

const (
	unclaimed phase = iota
	live
	ended
)

// unseen is a refresh token whose answer nobody got.
const unseen = "unseen"

var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{}} },
	Step: func(s, in, _ any) []any {
		var next []any
		o := in.(Operation)
		if o.Outcome == Lost {
			next = append(next, s)
		}
		for _, happened := range after(s.(state), o) {
			next = append(next, happened)
		}
		return next
	},
}).ToModel()

// after returns the states in which a family can be after an operation, none if
// that cannot have had its outcome.
func after(s state, o Operation) []state {
	if o.Kind == Revoke {
		return only(o.Outcome != Refused, state{phase: ended})
	}
	switch s.phase {
	case ended:
		return only(o.Outcome != Done, s)
	case unclaimed:
		return only(o.Kind == Redeem && o.Outcome != Refused, state{phase: live, head: o.next()})
	}
	switch {
	case o.Kind == Redeem: // a second time
		return only(o.Outcome != Done, state{phase: ended})
	case o.Token == s.head:
		return only(o.Outcome != Refused, state{phase: live, head: o.next(), before: o.Token})
	case o.Token == s.before: // again: it gets the same successor
		if s.head == unseen {
			return only(o.Outcome != Refused, state{phase: live, head: o.next(), before: o.Token})
		}
		return only(o.Outcome == Lost || o.Outcome == Done && o.Next == s.head, s)
	default: // an older one
		return only(o.Outcome != Done, state{phase: ended})
	}
}

func only(possible bool, s state) []state {
	if !possible {
		return nil
	}
	return []state{s}
}

func (o Operation) next() string {
	if o.Outcome == Done {
		return o.Next
	}
	return unseen
}

// describe shows a history, with tokens by their numbers: they are secrets.
func describe(operations []Operation) string {
	operations = slices.Clone(operations)
	slices.SortFunc(operations, func(a, b Operation) int { return a.Asked.Compare(b.Asked) })
	numbers := map[string]int{"": 0}
	number := func(token string) int {
		if _, ok := numbers[token]; !ok {
			numbers[token] = len(numbers)
		}
		return numbers[token]
	}
	var b strings.Builder
	for _, o := range operations {
		fmt.Fprintf(&b, "%v +%v at %s: %s %d: %s %d\n", o.Asked.Sub(operations[0].Asked).Round(time.Microsecond),
			o.Answered.Sub(o.Asked).Round(time.Microsecond), o.Instance, o.Kind, number(o.Token), o.Outcome, number(o.Next))
	}
	return b.String()
}
