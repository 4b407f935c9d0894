package mcp

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// MaxRequest is the largest body that is read as a request.
const MaxRequest = 64 << 10

const (
	maxIDLen     = 256
	maxMethodLen = 256

	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"

	memberState     = "requestState"
	memberResponses = "inputResponses"
)

// errRequest tells that a body cannot be read as one request in only one way.
// A batch is none: it is for the upstream to judge.
var errRequest = errors.New("mcp: not one JSON-RPC request")

// Request is what a gate has to know of a JSON-RPC request or notification.
type Request struct {
	// ID is a string or a number, as it was written; nil in a notification.
	ID     json.RawMessage
	Method string
	// Revision is what the request itself says to follow: in its _meta, or
	// what an initialize asks for. "" when it says nothing.
	Revision string
	// URLElicitation tells that the client opens URLs for people who agree. A
	// request of the revision Stateless or later says so for itself, an
	// initialize for its session; others cannot say.
	URLElicitation bool

	params map[string]json.RawMessage
}

// ParseRequest reads a body. It refuses what different readers could take for
// different requests: names that repeat or differ only in case, at any depth.
func ParseRequest(body []byte) (*Request, error) {
	if strictjson.Check(body, MaxRequest) != nil {
		return nil, errRequest
	}
	m := members(body)
	r := &Request{ID: m["id"], Method: text(m["method"]), params: members(m["params"])}
	if text(m["jsonrpc"]) != "2.0" || r.Method == "" || len(r.Method) > maxMethodLen {
		return nil, errRequest
	}
	if _, given := m["params"]; given && r.params == nil {
		return nil, errRequest
	}
	if r.ID != nil && !isID(r.ID) {
		return nil, errRequest
	}
	meta := members(r.params["_meta"])
	capabilities := meta[metaCapabilities]
	r.Revision = text(meta[metaVersion])
	if r.Method == "initialize" {
		r.Revision, capabilities = text(r.params["protocolVersion"]), r.params["capabilities"]
	}
	// An empty elicitation object means forms only.
	elicitation := members(members(capabilities)["elicitation"])
	r.URLElicitation = members(elicitation["url"]) != nil
	return r, nil
}

// Subscribe is the method that opens a stream in revisions without sessions.
const Subscribe = "subscriptions/listen"

// TakesInput reports whether the answer may ask for input (multi round-trip
// requests exist for these methods only).
func (r *Request) TakesInput() bool {
	switch r.Method {
	case "tools/call", "prompts/get", "resources/read":
		return r.ID != nil && !HasSessions(r.Revision)
	}
	return false
}

// IsToolCall reports whether the answer may be the result of a tool.
func (r *Request) IsToolCall() bool { return r.Method == "tools/call" && r.ID != nil }

// Tool returns the name of the tool that is called, or "".
func (r *Request) Tool() string {
	if r.Method != "tools/call" {
		return ""
	}
	return text(r.params["name"])
}

// Name returns the name of what a request calls or gets, a tool or a prompt; "" for
// any other.
func (r *Request) Name() string {
	if nameMember[r.Method] != "name" {
		return ""
	}
	return text(r.params["name"])
}

// body returns the request as it now is.
func (r *Request) body() ([]byte, error) {
	m := map[string]any{"jsonrpc": "2.0", "method": r.Method}
	if r.ID != nil {
		m["id"] = r.ID
	}
	if r.params != nil {
		m["params"] = r.params
	}
	return json.Marshal(m)
}

// operation returns what the request asks for, whichever round it is and
// however it is spelt: its params without what changes from round to round.
func (r *Request) operation() ([]byte, error) {
	params := maps.Clone(r.params)
	for _, name := range []string{memberState, memberResponses, "_meta"} {
		delete(params, name)
	}
	canonical := make(map[string]any, len(params))
	for name, raw := range params {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		canonical[name] = v // objects are written in the order of their names
	}
	return json.Marshal(canonical)
}

// members returns the members of an object, by their exact names; nil for
// anything else.
func members(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if len(raw) == 0 || json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// text returns a string; "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// isID reports whether a value is a string or a number, as MCP wants ids to be.
func isID(raw json.RawMessage) bool {
	if len(raw) > maxIDLen {
		return false
	}
	c := raw[0]
	return c == '"' || c == '-' || '0' <= c && c <= '9'
}
