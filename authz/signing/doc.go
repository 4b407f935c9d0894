// Package signing is what a site signs for others to verify: its signing keys,
// the key set that it publishes (RFC 7517), and the statements that tell a server
// behind who calls.
//
// The keys are one sealed value of the store, so that all instances of a site
// sign with the same. A key is published before it signs, and for as long as
// anything that it signed may be good.
//
// It never verifies: what comes back to the site is looked up in the store (see
// packages authz/tokens and authz/gate), whoever signed it.
package signing
