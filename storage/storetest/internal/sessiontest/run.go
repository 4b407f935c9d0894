package sessiontest

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// fixture is one store under test.
type fixture struct{ *suite.Connections }

// Run proves the stores that open returns.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	suite.Run(t, map[string]map[string]func(*fixture){
		"unproved session":    unprovedSessionTests,
		"browser session":     browserSessionTests,
		"grants of":           grantsOfTests,
		"last grant":          lastGrantTests,
		"submit in a browser": submitBrowserTests,
		"authentication":      authenticationTests,
		"end flow":            endFlowTests,
		"known":               knownTests,
	}, func(t *testing.T) *fixture { return &fixture{suite.NewConnections(t, open(t))} })
}
