package sharedtest

import (
	"maps"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// fixture is one store under test, as two processes have it open.
type fixture struct {
	*suite.Connections
	Other storage.Store
	// before was handed out already, and may be again.
	before []storage.Change
}

// contract is one that a store may implement.
type contract struct {
	implemented func(storage.Store) bool
	tests       map[string]map[string]func(*fixture)
}

func implements[C any](s storage.Store) bool {
	_, ok := s.(C)
	return ok
}

var contracts = map[string]contract{
	"Watcher":       {implements[storage.Watcher], map[string]map[string]func(*fixture){"watch": watchTests}},
	"AheadReader":   {implements[storage.AheadReader], map[string]map[string]func(*fixture){"ahead": aheadTests}},
	"InstanceStore": {implements[storage.InstanceStore], map[string]map[string]func(*fixture){"instances": instanceTests}},
	"RateStore":     {implements[storage.RateStore], map[string]map[string]func(*fixture){"rates": rateTests}},
}

// Run proves the stores that open returns, which another opens once more.
func Run(t *testing.T, open func(*testing.T) storage.Store, another func(*testing.T, storage.Store) storage.Store) {
	suites := map[string]map[string]func(*fixture){}
	t.Run("shared", func(t *testing.T) {
		s := open(t)
		for name, c := range contracts {
			switch {
			case !c.implemented(s):
			case another == nil:
				t.Errorf("it implements storage.%s; tell with storetest.Shared how to open it once more", name)
			default:
				maps.Copy(suites, c.tests)
			}
		}
	})
	suite.Run(t, suites, func(t *testing.T) *fixture {
		s := open(t)
		return &fixture{Connections: suite.NewConnections(t, s), Other: another(t, s)}
	})
}
