package caddymodule

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	connections "github.com/mcpoauth/caddy-mcp-oauth/authz/upstream"
)

// streams are the open event streams of the process. A stream costs no
// goroutine and no timer: one janitor asks for all of them whether their
// callers would still pass.
type streams struct {
	mu     sync.Mutex
	open   map[*stream]struct{}
	closed bool
}

// stream is the body of an event stream on its way from an upstream.
type stream struct {
	io.ReadCloser // the upstream's

	registry *streams
	caller   *authz.Caller
	gate     *authz.Gate // that let the caller in
	resource string
	link     *streamLink // nil unless it carries somebody's account
	ended    atomic.Bool
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

// streamLink is the connection that a stream was opened with.
type streamLink struct {
	broker         *connections.Broker // of the site that opened it
	issuer, server string
	name           string
}

// linked reports whether the stream may go on, as far as its connection goes:
// one that was ended, or made again with another account, ends what the
// upstream sends. The configuration that serves now decides, if there is one.
func (s *stream) linked(ctx context.Context, active *App) bool {
	if s.link == nil {
		return true
	}
	broker := s.link.broker
	if active != nil {
		broker = active.broker(s.link.issuer)
	}
	if broker == nil {
		return false
	}
	switch broker.LinkOf(ctx, s.caller.Identity.Subject, s.link.server) {
	case s.link.name:
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

func newStreams() *streams { return &streams{open: map[*stream]struct{}{}} }

// track registers a stream until it is closed. Once the process stops, a
// stream ends at once.
func (r *streams) track(s *stream) io.ReadCloser {
	s.registry = r
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.open[s] = struct{}{}
	}
	r.mu.Unlock()
	if closed {
		s.end()
	}
	return s
}

// Read passes on what the upstream sends. A stream that we end looks complete
// to the client: it may come back, and be told why it cannot.
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
	if s.ended.Load() {
		return 0, io.EOF
	}
	return n, err
}

// Close is called by the proxy, however the stream came to its end.
func (s *stream) Close() error {
	s.registry.mu.Lock()
	delete(s.registry.open, s)
	s.registry.mu.Unlock()
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

// endUnless ends the streams that keep does not want.
func (r *streams) endUnless(keep func(*stream) bool) {
	for _, s := range r.snapshot() {
		if !keep(s) {
			s.end()
		}
	}
}

// close ends all streams, also those to come.
func (r *streams) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.endUnless(func(*stream) bool { return false })
}

// snapshot keeps the lock short: asking about thousands of streams takes a while.
func (r *streams) snapshot() []*stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*stream, 0, len(r.open))
	for s := range r.open {
		all = append(all, s)
	}
	return all
}
