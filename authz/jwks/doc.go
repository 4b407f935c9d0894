// Package jwks holds the public keys of others (RFC 7517): it reads sets of
// keys, keeps those that are at an address, and verifies signatures by them.
//
// It never accepts a symmetric key, or a private one that somebody published,
// and never asks an address more often than once a minute for keys it does not
// have. What a signed token says is for the caller.
package jwks
