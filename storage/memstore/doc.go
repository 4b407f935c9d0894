// Package memstore keeps the records in memory: for tests and for setups that
// may forget everything when the process ends. Nothing is durable.
//
// It is a kv.Engine over a persistent treap: a writer copies the path to what
// it changes and publishes the new root when it succeeds, so readers never
// wait and a transaction that fails leaves nothing behind.
package memstore
