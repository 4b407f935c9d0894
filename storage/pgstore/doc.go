// Package pgstore keeps the records in a PostgreSQL database, so that several
// processes can serve the same sites. It owns the tables, and which row each
// verb locks; it decides in Go, as package kv does for one process.
//
//	verb ──▶ begin, lock, read      one round trip
//	     ──▶ decide                 in Go
//	     ──▶ write, attempt, commit one round trip
//
// What tokens are issued under is decided by the lock of their grant; what a
// person submits by that of the flow; what becomes of a connection by a lock of
// its key, whether or not there is one; who is beyond a bound by a lock of the
// queue. A transaction is READ COMMITTED: each statement behind the lock sees
// what the one before it committed.
//
// Serialization failures, deadlocks and lost connections are tried again, at most
// five times. A commit whose answer got lost is looked up by the ID of the
// attempt, which is one of its rows: what happened is answered, and not done twice.
//
// It needs nothing of a connection that outlives a transaction, so that a pooler
// may be in front. What is set on a new one (bounds for what hangs, a commit that
// waits for the disk) only matters where the database's own defaults are worse.
package pgstore
