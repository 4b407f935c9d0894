package gateway

import (
	"net/http"
	"sync"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// sessionStream is the answer to a request of an MCP session whose client waits
// for a notification of ours. Where it is an event stream, events of our own can be put
// between those of the upstream, also while that says nothing.
type sessionStream struct {
	http.ResponseWriter
	elicitations *Elicitations
	session      mcpSession
	standalone   bool // opened by the client for messages, not for one answer

	mu     sync.Mutex // of ResponseWriter's body, and all below
	events mcp.Events
	queue  []byte // waits for the event under way to end
	open   bool   // an event stream that nobody closed yet
}

// WriteHeader implements http.ResponseWriter.
func (s *sessionStream) WriteHeader(status int) {
	h := s.Header()
	// Into an encoded or measured answer nothing can be put.
	open := status == http.StatusOK && isEventStream(h) && h.Get("Content-Encoding") == "" && h.Get("Content-Length") == ""
	s.ResponseWriter.WriteHeader(status)
	if !open {
		return
	}
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
	s.elicitations.add(s)
}

// Write implements io.Writer.
func (s *sessionStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return s.ResponseWriter.Write(p)
	}
	if len(s.queue) == 0 {
		s.events.Skip(p)
		return s.ResponseWriter.Write(p)
	}
	n, found := s.events.Scan(p)
	written, err := s.ResponseWriter.Write(p[:n])
	if err != nil || !found {
		return written, err
	}
	if _, err := s.ResponseWriter.Write(s.queue); err != nil {
		return written, err
	}
	s.queue = nil
	if n == len(p) {
		return written, nil
	}
	s.events.Skip(p[n:])
	rest, err := s.ResponseWriter.Write(p[n:])
	return written + rest, err
}

// FlushError is what http.ResponseController looks for.
func (s *sessionStream) FlushError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return http.NewResponseController(s.ResponseWriter).Flush()
}

// Unwrap is what http.ResponseController looks for.
func (s *sessionStream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// insert puts an event into the stream, now or as soon as the one under way
// ends.
func (s *sessionStream) insert(event []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.open:
	case !s.events.Between():
		s.queue = append(s.queue, event...)
	default:
		if _, err := s.ResponseWriter.Write(event); err == nil {
			_ = http.NewResponseController(s.ResponseWriter).Flush()
		}
	}
}

// close is called when the request is done: nothing may be written after that.
func (s *sessionStream) close() {
	s.mu.Lock()
	wasOpen := s.open
	s.open = false
	s.mu.Unlock()
	if wasOpen {
		s.elicitations.remove(s)
	}
}
