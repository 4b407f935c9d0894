package mcp

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// Headers that repeat what the body says, from the revision Stateless on.
const (
	headerMethod = "Mcp-Method"
	headerName   = "Mcp-Name"
)

// nameMember is the parameter that Mcp-Name repeats, for the methods that have
// to send it.
var nameMember = map[string]string{
	"tools/call": "name", "prompts/get": "name", "resources/read": "uri",
	"tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId",
}

// MatchesHeaders reports whether the headers of a request repeat what its body
// says. A server that decides something by the body must refuse a request for which
// they do not (revision 2026-07-28, Streamable HTTP, server validation):
// a proxy on its way may have decided by the headers.
//
// Requests of earlier revisions have no such headers. A notification need not
// have them, but must not have others.
func (r *Request) MatchesHeaders(h http.Header) bool {
	if r.Method == "initialize" { // of an earlier revision, whichever it asks for
		return true
	}
	version := h.Get(HeaderProtocolVersion)
	if r.Revision != "" && r.Revision != version && (!HasSessions(r.Revision) || !HasSessions(version)) {
		return false
	}
	if HasSessions(version) {
		return true
	}
	member, named := nameMember[r.Method]
	return r.matches(h[headerMethod], r.Method) && (!named || r.matches(h[headerName], text(r.params[member])))
}

func (r *Request) matches(values []string, want string) bool {
	if len(values) == 0 {
		return r.ID == nil
	}
	return len(values) == 1 && headerText(values[0]) == want
}

// headerText returns what a header value stands for: what does not fit into a
// header is written as =?base64?…?=.
func headerText(value string) string {
	encoded, ok := strings.CutPrefix(value, "=?base64?")
	if ok {
		encoded, ok = strings.CutSuffix(encoded, "?=")
	}
	if !ok {
		return value
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return value
	}
	return string(decoded)
}
