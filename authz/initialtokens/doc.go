// Package initialtokens is the initial access tokens (RFC 7591 section 1.2) that an
// operator makes while a site runs: with one, a client may register where that is
// not open to everybody.
//
// They are one site value, read for each registration that brings one, so that all
// processes on a store agree at once. It never keeps a token, only hashes.
package initialtokens
