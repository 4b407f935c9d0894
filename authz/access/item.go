package access

import "encoding/json"

// Kind is what MCP calls something that a server offers.
type Kind uint8

// The kinds of items.
const (
	Tool Kind = iota
	Resource
	ResourceTemplate // decided by the rules for resources
	Prompt
)

func (k Kind) String() string {
	return [...]string{"tool", "resource", "resource template", "prompt"}[k]
}

// isURI reports whether items of the kind are named by URIs.
func (k Kind) isURI() bool { return k == Resource || k == ResourceTemplate }

// Annotations are what a server says of a tool. Zero is what MCP has one take for
// true of a tool of which its server says nothing: it changes things, may destroy
// them, does more when it is called twice, and reaches out into the world.
type Annotations uint8

const (
	// Known tells that the server said what it says of the item, be it nothing.
	Known Annotations = 1 << iota
	ReadOnly
	NotDestructive
	Idempotent
	ClosedWorld
)

// Hints returns the annotations that a server gave with a tool, nil for those that
// it left out. Whether a tool destroys and is idempotent means something only where
// it changes something at all.
func Hints(readOnly, destructive, idempotent, openWorld *bool) Annotations {
	is := func(hint *bool, want bool) bool { return hint != nil && *hint == want }
	a := Known
	if is(readOnly, true) {
		a |= ReadOnly | NotDestructive | Idempotent
	}
	if is(destructive, false) {
		a |= NotDestructive
	}
	if is(idempotent, true) {
		a |= Idempotent
	}
	if is(openWorld, false) {
		a |= ClosedWorld
	}
	return a
}

// Item is a tool, resource, resource template or prompt that somebody wants to use,
// or that is in a list for them.
type Item struct {
	Kind Kind
	// Name is that of a tool or prompt, the URI of a resource, or the URI template of
	// a resource template.
	Name        string
	Annotations Annotations
	// Arguments are what it is called with, as JSON; nil for none. Those that are no
	// object, or in which names repeat or differ in case only, are as Unread.
	Arguments json.RawMessage
	// Open tells that the arguments are not known, as in a list, or not read yet.
	Open bool
}

// Unread is what Arguments are that nobody can judge, such as those of a body that
// is too large to be kept: a condition about them allows nothing, and denies.
var Unread = json.RawMessage("unread")
