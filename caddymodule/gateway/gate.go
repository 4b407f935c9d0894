package gateway

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// admit is the stage of the gate. It returns who calls, and leaves only those of the
// request's headers that go on; or it answers the request and returns nil.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) *tokens.Caller {
	if !methodAllowed(r.Method) {
		w.Header().Set("Allow", "GET, HEAD, POST, DELETE, OPTIONS")
		s.reject(w, r, nil, http.StatusMethodNotAllowed, "method", "MCP does not use this method.")
		return nil
	}
	caller := s.Gate.Check(w, r)
	if caller == nil {
		if s.Site.AccessLog {
			addToAccessLog(r, zap.String("mcp_server", s.Configured().ID))
		}
		return nil
	}
	if !s.PassFilter.Strip(r.Header) {
		s.reject(w, r, nil, http.StatusBadRequest, "repeated_header", "A header of which there is only one, such as Mcp-Session-Id or Content-Type, was sent with several values.")
		return nil
	}
	return caller
}

// methodAllowed reports whether a method can go on to the gate. Those that MCP
// does not use have no business at an upstream, and some do harm there: TRACE
// would show the client what the gateway adds to its requests, CONNECT opens a
// tunnel, such as a WebSocket over HTTP/2, that nobody looks into.
func methodAllowed(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}
