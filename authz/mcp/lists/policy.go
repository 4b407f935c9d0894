package lists

import "github.com/mcpoauth/caddy-mcp-oauth/authz/access"

// Policy says what stays of the answers to one caller.
type Policy interface {
	// Keep reports whether an item stays, by its name, or URI, and what the server says
	// of it. Its definition is all that the server wrote of it. Both are good until Keep
	// returns.
	Keep(kind access.Kind, name []byte, said access.Annotations, definition []byte) bool
	// Known returns how much of a text is an item that the server wrote so before, and
	// whether that stays, as Keep would; 0 if it does not begin with one. It may know none.
	Known(kind access.Kind, text []byte) (size int, keep bool)
	// Nothing reports whether the caller may use nothing of a kind.
	Nothing(kind access.Kind) bool
	// Next is told where a list goes on, as the server wrote it in JSON.
	Next(cursor []byte)
	// Listed is told that the list of a kind was read to its end; last, that it goes on
	// nowhere.
	Listed(kind access.Kind, last bool)
}

// Error says why an answer cannot be filtered. It repeats nothing of it.
type Error string

// Error implements error.
func (e Error) Error() string { return "mcp: " + string(e) }

const (
	errSyntax   Error = "an answer of the server is not one JSON text"
	errDepth    Error = "an answer of the server is nested too deeply"
	errEncoding Error = "an answer of the server is not in UTF-8"
	errTooLarge Error = "one item in a list of the server, or what stands beside it, is too large to be judged"
	errSplit    Error = "an event of the server breaks its JSON text within a word"
)
