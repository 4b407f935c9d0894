// Package kvtest breaks engines on purpose, for the tests of stores.
package kvtest
