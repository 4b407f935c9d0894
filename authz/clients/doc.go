// Package clients knows the OAuth clients of the authorization server.
//
// It owns: clients that an operator named, that registered themselves (RFC 7591)
// and that publish a document about themselves (client ID metadata documents),
// what such metadata may say, the keys of clients, and how a client proves that
// a request is its own (RFC 6749 section 2.3, RFC 7523).
//
// It never answers a request, never decides what a client may have, and never
// trusts a document or a key for longer than its host says.
package clients
