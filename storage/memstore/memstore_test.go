package memstore

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kvtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) storage.Store { return New() })
}

// What a verb changes while it runs in vain counts for nothing.
func TestConformanceRunTwice(t *testing.T) {
	storetest.Run(t, func(*testing.T) storage.Store { return kv.New(kvtest.Twice{Engine: newEngine()}) })
}

func TestFaults_B15(t *testing.T) {
	storetest.RunFaults(t, func(*testing.T) storetest.Breakable {
		e := kvtest.Wrap(newEngine())
		return storetest.Breakable{Store: kv.New(e), FailWrite: e.FailWrite, Dump: e.Dump}
	})
}
