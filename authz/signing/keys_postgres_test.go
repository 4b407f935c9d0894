//go:build postgres

package signing

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/pgtest/processes"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Processes that share a PostgreSQL database, and start at once, agree on one key.
func TestOneKeyForAllProcesses(t *testing.T) {
	var stores []storage.AuthStore
	for _, store := range processes.Open(t, 4) {
		stores = append(stores, store)
	}
	startAtOnce(t, stores...)
}
