// Package identity holds the ways a person can say or prove who they are when
// they approve a client.
//
// Each way is a Method in a file of its own, and yields a storage.Identity whose
// Subject is prefixed with its Kind: no way can produce the subject of another.
// Logins keeps those apart that send a browser elsewhere and get it back.
//
// It never renders a page, and never decides what an identity may do, except for
// the MCP servers that a virtual key names.
package identity
