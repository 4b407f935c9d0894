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

func TestFaults_B15(t *testing.T) {
	storetest.RunFaults(t, func(*testing.T) storetest.Breakable {
		e := kvtest.Wrap(newEngine())
		return storetest.Breakable{Store: kv.New(e), FailWrite: e.FailWrite, Dump: e.Dump}
	})
}
