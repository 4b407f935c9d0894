package mcp

import (
	"encoding/json"
	"net/http"
)

// ItemKind is what MCP calls something that a server offers, in the order of
// package access.
type ItemKind uint8

// The kinds of items.
const (
	Tool ItemKind = iota
	Resource
	ResourceTemplate
	Prompt
)

// Item is what a message names: a tool or prompt by its name, a resource by its URI,
// a resource template by its URI template.
type Item struct {
	Kind ItemKind
	Name string
}

// Message is what must be known of one JSON-RPC message to decide about it.
type Message struct {
	// ID is a string or a number, as it was written; nil in a notification.
	ID json.RawMessage
	// Method is empty in a response.
	Method string
	// Revision is what the message itself says to follow, as Request.Revision.
	Revision string
	// Items are what the message uses; most have one or none. A call that is sent as a
	// notification uses its tool, too.
	Items []Item
	// Arguments are those of a tool or prompt: an object, in which names may repeat;
	// nil if there are none.
	Arguments json.RawMessage
	// ArgumentsUnread tells that there are some, of a body that is not kept.
	ArgumentsUnread bool
}

// Uses reports whether the message uses an item at all.
func (m *Message) Uses() bool { return len(m.Items) > 0 }

// MatchesHeaders reports whether the headers of a request repeat what the message
// says, as Request.MatchesHeaders does. Those of an earlier revision need not be
// there, but must not say something else.
func (m *Message) MatchesHeaders(h http.Header) bool {
	version := h.Get(HeaderProtocolVersion)
	if m.Method != "initialize" && m.Revision != "" && m.Revision != version && (!HasSessions(m.Revision) || !HasSessions(version)) {
		return false
	}
	required := m.ID != nil && m.Method != "initialize" && !HasSessions(version)
	if !repeats(h[headerMethod], m.Method, required) {
		return false
	}
	if len(m.Items) != 1 {
		return true
	}
	return repeats(h[headerName], m.Items[0].Name, required && nameMember[m.Method] != "")
}

func repeats(values []string, want string, required bool) bool {
	if len(values) == 0 {
		return !required
	}
	return len(values) == 1 && headerText(values[0]) == want
}
