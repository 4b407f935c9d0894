// Package database connects to PostgreSQL, and knows whether it answers. It owns
// which host is asked, over which TLS, and what is said when that fails; it knows
// of no table.
//
// A Monitor sees every byte that arrives. When a connection waits for too long, or
// none can be made, one probe asks all hosts over connections of its own. If none
// that can be written to answers, the database is away: all connections are closed
// and no more are made, so that everybody who waits is told at once, and the probe
// goes on until it has found one.
package database
