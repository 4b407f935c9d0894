// Package boltstore keeps the records in one bbolt file: the default store.
// One process has the file open at a time.
//
// Every change is on disk (fsync) before its caller hears of it. Callers that
// arrive while the disk is busy share the next transaction, so that many of
// them cost one fsync; a lone caller never waits for company.
//
//	callers ──▶ queue ──▶ the first of them ──▶ one transaction ──▶ all of them
//	gate   ──▶ read transaction, waits for nobody
//
// bbolt trusts what is in the file, and panics over a damaged page, perhaps with
// its locks held, or in a goroutine of its own. Nothing here lets that end or
// block the process: see database and checkPages.
//
// The file and its directory are created for the owner alone (0600, 0700). A
// file that others may read is refused: it tells who uses what.
package boltstore
