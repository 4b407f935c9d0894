package access

// Decision is whether somebody may use an item.
type Decision struct {
	Allowed bool
	// Rule is the one that decided, nil if none matched or there are none.
	Rule *Rule
	// NotChosen tells that the rules allow it, and the person does not let the client use
	// it.
	NotChosen bool
	// NeedsAnnotations tells that a rule asked for annotations that were not Known.
	// The decision is good all the same: it was made with what MCP has one take for
	// true. With them it could be another.
	NeedsAnnotations bool
	// NeedsArguments tells that a rule asked for arguments that are Open. Then it
	// could be called with some, and a call has to be decided again with its own.
	NeedsArguments bool
}
