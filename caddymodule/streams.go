package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// stopGrace is how long calls may go on when the process stops, or nobody could
// check them any more. Event streams, which never end by themselves, end at once.
const stopGrace = 5 * time.Second

// errEnded aborts an answer that is no event stream: cut off, it must not look
// complete.
var errEnded = errors.New("mcp_oauth: the answer was ended, as its caller may not go on or Caddy stops")

// streams are the answers of the process that are being sent. One costs no
// goroutine, no timer and no allocation: one janitor asks for all of them
// whether their callers would still pass. They are linked to each other, so
// that an ordinary call, which ends before anybody asks, costs next to nothing.
type streams struct {
	mu     sync.Mutex
	first  *stream
	count  int
	closed bool // no event stream any more
	ended  bool // nothing any more
}

// stream is the body of an answer on its way from an upstream. It is part of
// its call.
type stream struct {
	io.ReadCloser // the upstream's

	registry       *streams // nil until it is tracked
	call           *call
	events         bool // it never ends by itself
	previous, next *stream
	ended          atomic.Bool
	// waiting is nil unless the stream outlives its account, because its client
	// then waits for word that there is one again.
	waiting *waiting
}

// waiting is the state of a stream that waits once it has no account any more.
type waiting struct {
	left  <-chan struct{} // the client did
	over  chan struct{}   // we ended the stream
	alone atomic.Bool     // the upstream's side was closed
}

// passes reports whether the caller would still pass. The configuration that
// serves now decides, if there is one.
func (s *stream) passes(ctx context.Context, active *App) bool {
	gate := s.call.gate
	if active != nil {
		gate = active.gate(s.call.upstream.resource)
	}
	return gate != nil && gate.Recheck(s.call.caller) && s.linked(ctx, active)
}

// linked reports whether the answer may go on, as far as its connection goes:
// one that was ended, or made again with another account, ends what the
// upstream sends.
func (s *stream) linked(ctx context.Context, active *App) bool {
	c := s.call
	if c.connected == nil {
		return true
	}
	broker := c.site.broker
	if active != nil {
		broker = active.broker(c.site.as.Config().Issuer)
	}
	if broker == nil {
		return false
	}
	switch broker.LinkOf(ctx, c.caller.Identity.Subject, c.upstream.id) {
	case c.connected.credential.Link:
		return s.waiting == nil || !s.waiting.alone.Load()
	case "":
		return s.wait()
	}
	return false
}

// wait closes the upstream's side and leaves the client's open, if the client
// waits for word. It reports whether it does.
func (s *stream) wait() bool {
	if s.waiting == nil {
		return false
	}
	if s.waiting.alone.CompareAndSwap(false, true) {
		_ = s.ReadCloser.Close()
	}
	return true
}

func newStreams() *streams { return &streams{} }

// track registers an answer until it is closed. Once the process stops, an
// event stream ends at once.
func (r *streams) track(s *stream) io.ReadCloser {
	s.registry = r
	r.mu.Lock()
	ended := r.ended || r.closed && s.events
	if s.next = r.first; s.next != nil {
		s.next.previous = s
	}
	r.first = s
	r.count++
	r.mu.Unlock()
	if ended {
		s.end()
	}
	return s
}

// forget removes an answer. It may be closed more than once.
func (r *streams) forget(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case s.previous != nil:
		s.previous.next = s.next
	case r.first == s:
		r.first = s.next
	default:
		return
	}
	if s.next != nil {
		s.next.previous = s.previous
	}
	s.previous, s.next = nil, nil
	r.count--
}

// Read passes on what the upstream sends. An event stream that we end looks
// complete to the client: it may come back, and be told why it cannot.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if s.waiting != nil && s.waiting.alone.Load() {
		select {
		case <-s.waiting.over:
		case <-s.waiting.left:
		}
		return 0, io.EOF
	}
	switch {
	case !s.ended.Load():
		return n, err
	case s.events:
		return 0, io.EOF
	default:
		return 0, errEnded
	}
}

// Close is called by the proxy, however the answer came to its end.
func (s *stream) Close() error {
	s.registry.forget(s)
	return s.ReadCloser.Close()
}

// end closes the upstream's side, which ends a Read that waits.
func (s *stream) end() {
	if s.ended.CompareAndSwap(false, true) {
		if s.waiting != nil {
			close(s.waiting.over)
		}
		_ = s.ReadCloser.Close()
	}
}

// endUnless ends the answers that keep does not want.
func (r *streams) endUnless(keep func(*stream) bool) {
	for _, s := range r.snapshot() {
		if !keep(s) {
			s.end()
		}
	}
}

// close ends all event streams, also those to come, and after a while all that
// is still being sent.
func (r *streams) close() {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	r.endUnless(func(s *stream) bool { return !s.events })
	if !again {
		time.AfterFunc(stopGrace, r.endAll)
	}
}

func (r *streams) endAll() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.endUnless(func(*stream) bool { return false })
	r.hangUp()
}

// hangUp ends the writing to clients that do not read. None of the calls returns
// meanwhile, as that takes the lock; afterwards their clients' side is gone.
func (r *streams) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.first; s != nil; s = s.next {
		if w, ok := innermost(s.call.client).(interface{ SetWriteDeadline(time.Time) error }); ok {
			_ = w.SetWriteDeadline(time.Now())
		}
	}
}

// innermost returns the server's own writer, whose deadline any goroutine may
// set. What Caddy wraps around it keeps account of deadlines without a lock.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = inner.Unwrap()
	}
}

// snapshot keeps the lock short: asking about thousands of answers takes a while.
func (r *streams) snapshot() []*stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*stream, 0, r.count)
	for s := r.first; s != nil; s = s.next {
		all = append(all, s)
	}
	return all
}
