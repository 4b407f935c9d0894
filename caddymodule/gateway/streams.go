package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// StopGrace is how long calls may go on when the process stops, or nobody could
// check them any more. Event streams, which never end by themselves, end at once.
const StopGrace = 5 * time.Second

// errEnded aborts an answer that is no event stream: cut off, it must not look
// complete.
var errEnded = errors.New("mcp_oauth: the answer was ended, as its caller may not go on or Caddy stops")

// Streams are the answers of the process that are being sent. One costs no
// goroutine, no timer and no allocation: one janitor asks for all of them
// whether their callers would still pass. They are linked to each other, so
// that an ordinary call, which ends before anybody asks, costs next to nothing.
type Streams struct {
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

	server *Server
	caller *tokens.Caller
	// credential is that of the account that the call carried, or nil.
	credential *accounts.Credential
	client     http.ResponseWriter
	judged     *judged // what of the server the call uses, nil if the caller may use everything

	registry       *Streams // nil until it is tracked
	events         bool     // it never ends by itself
	previous, next *stream
	ended          atomic.Bool
	// waiting is nil unless the stream outlives its account, because its client
	// is then notified when there is one again.
	waiting *waiting
}

// waiting is the state of a stream that waits once it has no account any more.
type waiting struct {
	left  <-chan struct{} // the client did
	over  chan struct{}   // we ended the stream
	alone atomic.Bool     // the upstream's side was closed
}

// Serving returns the MCP server of a resource in the configuration that serves
// now, or nil.
type Serving func(resource string) *Server

// allowed reports whether the caller would still pass. The configuration that
// serves now decides, if there is one.
func (s *stream) allowed(ctx context.Context, serving Serving) bool {
	server := s.server
	if serving != nil {
		server = serving(server.Resource)
	}
	if server == nil || server.Gate == nil {
		return false
	}
	now := server.Gate.Still(s.caller)
	return now != nil && s.judged.passes(server, now) && s.hasAccount(ctx, server.Site.Accounts)
}

// hasAccount reports whether the answer may go on, as far as its account goes:
// a connection that was ended, or made again with another account, ends what the
// upstream sends.
func (s *stream) hasAccount(ctx context.Context, now *accounts.Broker) bool {
	if s.credential == nil {
		return true
	}
	if now == nil {
		return false
	}
	switch now.EpochOf(ctx, s.caller.Identity.Subject, s.server.ID) {
	case s.credential.Epoch:
		return s.waiting == nil || !s.waiting.alone.Load()
	case "":
		return s.wait()
	}
	return false
}

// wait closes the upstream's side and leaves the client's open, if the client
// waits to be notified. It reports whether it does.
func (s *stream) wait() bool {
	if s.waiting == nil {
		return false
	}
	if s.waiting.alone.CompareAndSwap(false, true) {
		_ = s.ReadCloser.Close()
	}
	return true
}

// NewStreams returns an empty registry.
func NewStreams() *Streams { return &Streams{} }

// track registers an answer until it is closed. Once the process stops, an
// event stream ends at once.
func (r *Streams) track(s *stream) io.ReadCloser {
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
func (r *Streams) forget(s *stream) {
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

// Len returns how many answers are being sent.
func (r *Streams) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Place is an MCP server of a site, or an account there.
type Place struct{ Site, Server string }

// Events returns how many event streams are open, of all accounts at a server.
func (r *Streams) Events() map[Place]int {
	open := map[Place]int{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.first; s != nil; s = s.next {
		if s.events {
			open[Place{s.server.Site.Issuer, s.server.Configured().ID}]++
		}
	}
	return open
}

// Recheck ends the answers whose callers would not pass any more. One that was
// begun under an earlier configuration is judged by the one that serves now:
// one that took the MCP server away ends them too. serving is nil while none does.
func (r *Streams) Recheck(ctx context.Context, serving Serving) {
	r.endUnless(func(s *stream) bool { return s.allowed(ctx, serving) })
}

// endUnless ends the answers that keep does not want.
func (r *Streams) endUnless(keep func(*stream) bool) {
	for _, s := range r.snapshot() {
		if !keep(s) {
			s.end()
		}
	}
}

// RecheckOf is Recheck for those answers of which it may be another matter now, by
// site, caller and MCP server. Those that only wait to be notified are left to
// Recheck: nothing else reaches them, and the notification may be on its way.
func (r *Streams) RecheckOf(ctx context.Context, serving Serving, affected func(at Place, caller *tokens.Caller) bool) {
	r.endUnless(func(s *stream) bool {
		waits := s.waiting != nil && s.waiting.alone.Load()
		return waits || !affected(Place{s.server.Site.Issuer, s.server.ID}, s.caller) || s.allowed(ctx, serving)
	})
}

// Close ends all event streams, also those to come, and after the grace all that
// is still being sent.
func (r *Streams) Close(grace time.Duration) {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	r.endUnless(func(s *stream) bool { return !s.events })
	if !again {
		time.AfterFunc(grace, r.endAll)
	}
}

func (r *Streams) endAll() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.endUnless(func(*stream) bool { return false })
	r.hangUp()
}

// hangUp ends the writing to clients that do not read. None of the calls returns
// meanwhile, as that takes the lock; afterwards their clients' side is gone.
func (r *Streams) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.first; s != nil; s = s.next {
		if w, ok := innermost(s.client).(interface{ SetWriteDeadline(time.Time) error }); ok {
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
func (r *Streams) snapshot() []*stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*stream, 0, r.count)
	for s := r.first; s != nil; s = s.next {
		all = append(all, s)
	}
	return all
}
