package event

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Recorder tells the sinks of one site what happens there. A nil Recorder tells
// nobody.
type Recorder struct {
	site     string
	clientIP func(*http.Request) string
	now      func() time.Time
	floods   floods

	adding sync.Mutex // held while sinks changes
	sinks  atomic.Pointer[[]Sink]
}

// Options is what a Recorder needs to know.
type Options struct {
	Site string // its issuer
	// ClientIP returns the address that a request comes from.
	ClientIP func(*http.Request) string
	// Block returns the block of addresses that count as one sender.
	Block func(address string) string
	Now   func() time.Time
}

// NewRecorder returns the recorder of a site.
func NewRecorder(o Options, sinks ...Sink) *Recorder {
	r := &Recorder{site: o.Site, clientIP: o.ClientIP, now: o.Now, floods: floods{block: o.Block}}
	r.sinks.Store(&sinks)
	return r
}

// Add adds sinks.
func (r *Recorder) Add(sinks ...Sink) {
	if r == nil {
		return
	}
	r.adding.Lock()
	defer r.adding.Unlock()
	old := *r.sinks.Load()
	all := append(old[:len(old):len(old)], sinks...)
	r.sinks.Store(&all)
}

// Of returns the context of a request, for what is to be recorded about it.
func (r *Recorder) Of(req *http.Request) context.Context {
	if r == nil {
		return req.Context()
	}
	return WithRequest(req, r.clientIP(req))
}

// Record records an event.
func (r *Recorder) Record(ctx context.Context, e Event) {
	if r == nil || IsUnheard(ctx) {
		return
	}
	r.complete(ctx, &e)
	r.floods.admit(r, &e)
	e.onSpan(ctx)
	r.tell(&e)
}

// Refer records an event of which somebody is shown the reference that it
// returns. That is in the log: if there was enough of the same, it is the reference
// of an earlier line.
func (r *Recorder) Refer(ctx context.Context, e Event) string {
	if e.Reference == "" {
		e.Reference = uuid.NewString()
	}
	if r == nil || IsUnheard(ctx) {
		return e.Reference
	}
	r.complete(ctx, &e)
	r.floods.admit(r, &e)
	e.onSpan(ctx)
	r.tell(&e)
	return e.Reference
}

func (r *Recorder) complete(ctx context.Context, e *Event) {
	e.Site = r.site
	if e.Time.IsZero() {
		e.Time = r.now()
	}
	e.fromRequest(ctx)
	if server, account, found := strings.Cut(e.Server, "/"); found { // config.AccountID
		e.Server, e.Account = server, account
	}
}

func (r *Recorder) tell(e *Event) {
	for _, s := range *r.sinks.Load() {
		s.Record(e)
	}
}
