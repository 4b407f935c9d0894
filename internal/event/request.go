package event

import (
	"context"
	"net/http"
	"strings"
	"sync"
)

// maxOrigin is longer than any origin with a host name (RFC 1035 section 2.3.4).
const maxOrigin = 300

// maxAgent is enough to know a program by.
const maxAgent = 120

// request is what is known of a request while it is answered.
type request struct {
	mu    sync.Mutex // guards known: what a request fetches may be fetched for others, too
	known Event
}

type requestKey struct{}

// WithRequest returns the context of a request, from which the Recorder takes who
// sent it.
func WithRequest(r *http.Request, address string) context.Context {
	known := Event{Address: address, Trace: TraceOf(r.Header.Get("Traceparent"))}
	origins := r.Header["Origin"]
	for i, origin := range origins[:min(len(origins), 2)] { // of which one is right
		if i > 0 {
			known.Origin += ", "
		}
		known.Origin += origin[:min(len(origin), maxOrigin)]
	}
	if agent := r.Header.Get("User-Agent"); agent != "" {
		known.Agent = strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
	}
	return context.WithValue(r.Context(), requestKey{}, &request{known: known})
}

type unheardKey struct{}

// Unheard returns a context in which nothing is recorded, for requests that nobody
// sent: a site sends them to itself, to see whether it works.
func Unheard(ctx context.Context) context.Context {
	return context.WithValue(ctx, unheardKey{}, true)
}

// IsUnheard reports whether nothing is recorded in a context.
func IsUnheard(ctx context.Context) bool { return ctx.Value(unheardKey{}) != nil }

// Learn adds to what is known of the request of a context: its events have it,
// unless they say something else.
func Learn(ctx context.Context, e Event) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		e.fill(&r.known)
		r.known = e
	}
}

// fromRequest adds what is known of the request of a context.
func (e *Event) fromRequest(ctx context.Context) {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		e.fill(&r.known)
	}
}

// fill takes from known what e does not say.
func (e *Event) fill(known *Event) {
	for _, field := range []struct {
		to   *string
		from string
	}{
		{&e.Flow, known.Flow},
		{&e.Grant, known.Grant},
		{&e.Connection, known.Connection},
		{&e.Person, known.Person},
		{&e.Identity, known.Identity},
		{&e.Client, known.Client},
		{&e.ClientName, known.ClientName},
		{&e.Server, known.Server},
		{&e.Provider, known.Provider},
		{&e.Address, known.Address},
		{&e.Origin, known.Origin},
		{&e.Agent, known.Agent},
		{&e.Trace, known.Trace},
	} {
		if *field.to == "" {
			*field.to = field.from
		}
	}
	if e.By == "" {
		e.By = known.By
	}
}

// TraceOf returns the trace id of a traceparent header (W3C Trace Context,
// section 3.2), or nothing.
func TraceOf(header string) string {
	parts := strings.Split(header, "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[1]
}
