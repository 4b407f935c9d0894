package lists

import "github.com/mcpoauth/caddy-mcp-oauth/authz/access"

// Policy says what stays of the answers to one caller.
type Policy interface {
	// Keep reports whether an item stays. Its definition is what the server wrote of it;
	// it is good until Keep returns.
	Keep(item access.Item, definition []byte) bool
	// Nothing reports whether the caller may use nothing of a kind.
	Nothing(kind access.Kind) bool
	// Next is told where a list goes on, as the server wrote it in JSON.
	Next(cursor []byte)
}

// Error says why an answer cannot be filtered. It repeats nothing of it.
type Error string

// Error implements error.
func (e Error) Error() string { return "mcp: " + string(e) }

const (
	errSyntax   Error = "an answer of the server is not one JSON text"
	errDepth    Error = "an answer of the server is nested too deeply"
	errEncoding Error = "an answer of the server is not in UTF-8"
	errTooLarge Error = "one item in a list of the server is too large to be judged"
	errSplit    Error = "an event of the server breaks its JSON text within a word"
)
