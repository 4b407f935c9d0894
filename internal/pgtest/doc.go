// Package pgtest runs a PostgreSQL server for the tests of one binary, with
// the programs that Debian's package postgresql installs.
package pgtest
