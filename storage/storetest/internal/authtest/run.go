package authtest

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// fixture is one store under test.
type fixture struct{ *suite.Fixture }

// Run proves the stores that open returns.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	suite.Run(t, map[string]map[string]func(*fixture){
		"client":          clientTests,
		"unproved client": unprovedClientTests,
		"flow":            flowTests,
		"code":            codeTests,
		"refresh":         refreshTests,
		"refresh proof":   refreshProofTests,
		"unused client":   unusedClientTests,
		"unproved grant":  unprovedGrantTests,
		"service grant":   serviceGrantTests,
		"access":          accessTests,
		"cascade":         cascadeTests,
		"chosen":          chosenTests,
		"once":            onceTests,
		"site value":      siteValueTests,
		"sweep":           sweepTests,
		"race":            raceTests,
		"grants":          grantsTests,
		"model":           modelTests,
	}, func(t *testing.T) *fixture { return &fixture{suite.NewFixture(t, open(t))} })
}
