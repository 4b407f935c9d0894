// Package move moves all records from one store to another, as they are, while
// nobody works with either. It owns the order of that, the marks that keep a Caddy
// away from half of it, and the sums by which both are compared.
//
//	look ──▶ mark the source: it is being left
//	     ──▶ mark the target: it is being filled      ◀── killed: goes on here,
//	     ──▶ copy, kind by kind, batch by batch            behind the last batch
//	     ──▶ read both again, compare counts and sums
//	     ──▶ mark the source: its records are elsewhere
//	     ──▶ take the mark from the target
//
// A batch and how far it reaches are one transaction of the target. So whenever it
// is killed, there is one store that a Caddy starts on at most, and the same command
// goes on.
//
// It knows no store: each has a Side in its own package. It changes no record, and
// ends nothing.
package move
