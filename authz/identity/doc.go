// Package identity holds the ways a person can say or prove who they are when
// they approve a client.
//
// Each way has a Kind, and yields a storage.Identity whose Subject is prefixed
// with that kind: no way can produce the subject of another.
//
// It never decides what an identity may do, except for the MCP servers that a
// virtual key names.
package identity
