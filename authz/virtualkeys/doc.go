// Package virtualkeys is the virtual keys of a site at work: those of the
// configuration, whose files may change, and those that an operator makes while
// the site runs, which are in the store.
//
//	store, files ─▶ Keys.Refresh ─▶ identity.VirtualKeys ─▶ gates, sign-in
//	                     └────────▶ grants.Withdrawals: what rested on what is gone
//
// All keys are in memory, so that no call and no guess reads the store; there are
// few, for an operator makes them. Refresh, called every few seconds, looks for
// what another process changed, what time ended, and what is in the files by now.
//
// It decides which keys there are and what their names may be. What a key is good
// for is the rule of packages authz/gate and authz/identity. It never keeps a key,
// only hashes.
package virtualkeys
