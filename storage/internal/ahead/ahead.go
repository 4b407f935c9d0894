// Package ahead keeps what a request read of a store before it asks for it. It owns
// where that is kept and for how long; it reads nothing, and knows no records.
package ahead

import (
	"context"
	"sync"
	"time"
)

// lifetime is how long an answer may be used: no longer than anything else that is
// remembered of a store.
const lifetime = 5 * time.Second

// Reads has the answers for one request. Nil has none.
type Reads struct {
	mu      sync.Mutex // guards answers
	answers map[question]answer
}

type question struct {
	store any
	text  string
}

type answer struct {
	value any
	err   error
	until time.Time
}

type key struct{}

// With returns a context with a place for answers.
func With(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, &Reads{answers: map[question]answer{}})
}

// Of returns the answers of a context, or nil.
func Of(ctx context.Context) *Reads {
	r, _ := ctx.Value(key{}).(*Reads)
	return r
}

// Put keeps the answer of a store to a question.
func (r *Reads) Put(store any, text string, value any, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[question{store, text}] = answer{value, err, time.Now().Add(lifetime)}
}

// Find returns the answer of a store to a question, if it is known.
func (r *Reads) Find(store any, text string) (value any, err error, known bool) {
	if r == nil {
		return nil, nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, known := r.answers[question{store, text}]
	if !known || !time.Now().Before(a.until) {
		return nil, nil, false
	}
	return a.value, a.err, true
}

// Forget drops all answers: something changes.
func (r *Reads) Forget() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.answers)
}
