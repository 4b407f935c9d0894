// Package pgtest runs PostgreSQL servers for tests, with the programs that
// Debian's packages postgresql and pgbouncer install: alone, over TLS, with
// standbys, behind a pooler, paused and killed; and counts what waits for them.
package pgtest
