// Package tokens is how access tokens, refresh tokens and authorization codes
// are spelt and looked up, and the cache of access tokens in front of the store.
//
// What a token is good for is the store's word alone; the rules for it are those
// of packages authz/grants and authz/gate. It never keeps a token, only hashes.
package tokens
