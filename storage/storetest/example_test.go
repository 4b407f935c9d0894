package storetest_test

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

// The test of a store of your own: put what opens it in the place of memstore.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestConformance(t *testing.T)
		storetest.Run(t, func(t *testing.T) storage.Store {
			store := memstore.New()
			t.Cleanup(func() { _ = store.Close() })
			return store
		})
	}
}
