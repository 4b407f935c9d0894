package history

import (
	"slices"
	"sync"
	"time"
)

// Kind is what a client asked.
type Kind string

const (
	// Redeem exchanges a code for the first refresh token of a family.
	Redeem Kind = "redeem"
	// Refresh exchanges a refresh token for its successor.
	Refresh Kind = "refresh"
	// Revoke ends the family.
	Revoke Kind = "revoke"
)

// Outcome is what is known of an operation.
type Outcome string

const (
	// Done: it was acknowledged.
	Done Outcome = "done"
	// Refused: the answer was no.
	Refused Outcome = "refused"
	// Lost: there was no answer, or one that promises nothing.
	Lost Outcome = "lost"
)

// Operation is one request and its answer.
type Operation struct {
	// Family names the code, and all that came of it.
	Family string
	Kind   Kind
	// Token is what was presented: the refresh token. Empty for a code.
	Token string
	// Instance was asked.
	Instance string
	// Outcome, and the refresh token that came with Done.
	Outcome Outcome
	Next    string

	Asked, Answered time.Time
}

// Recorder collects operations. Its zero value is ready, for any number of
// callers.
type Recorder struct {
	mu  sync.Mutex
	all []Operation
}

// Record does an operation, which fills in how it went, and keeps it.
func (r *Recorder) Record(o Operation, do func(*Operation)) Operation {
	o.Outcome, o.Asked = Lost, time.Now()
	do(&o)
	o.Answered = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, o)
	return o
}

// All returns what was recorded.
func (r *Recorder) All() []Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}
