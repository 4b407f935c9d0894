// Package engine makes a storage.Store of anything that has ordered keys and
// serialised transactions: an embedded key-value store, or a file as in
// examples/store. All verbs and records are those of the stores here; whoever
// implements an Engine only moves bytes.
//
// A database that several processes share is better served by verbs of its own, as
// in package pgstore: an Engine runs one transaction after the other, and has no
// clock.
package engine

import (
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// Engine runs transactions over ordered keys.
type Engine = kv.Engine

// Reader reads within a transaction.
type Reader = kv.Reader

// Tx changes within a transaction.
type Tx = kv.Tx

// New returns the store over an empty engine, or over one that a store was on before.
func New(e Engine) storage.Store { return kv.New(e) }
