// Package presets is what is known of MCP servers that many people use: their URL,
// what to ask their provider for, what it does in its own way, and where an operator
// registers an application if it takes no other.
//
// It owns the list, and how an operator's server is completed from it. It is only
// about what is written in a Caddyfile: in the JSON, and at run time, a server of a
// preset is like any other. What a provider says of itself is not repeated here: it
// is discovered.
package presets
