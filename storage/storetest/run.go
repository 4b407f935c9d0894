package storetest

import (
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/authtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/connectiontest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/keytest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/persontest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/sealtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/sessiontest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/sharedtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/storetest/internal/suite"
)

// fixture is one store under test.
type fixture struct{ *suite.Connections }

func newFixture(t *testing.T, s storage.Store) *fixture {
	return &fixture{suite.NewConnections(t, s)}
}

// Option tells Run more of the stores that it proves.
type Option func(*options)

type options struct {
	another func(*testing.T, storage.Store) storage.Store
}

// Shared tells how to open a store once more, as another process would: what is
// stored by one is there for the other. It is closed in a cleanup. The contracts for
// stores that several processes share are proved with it, those that the store
// implements.
func Shared(another func(t *testing.T, s storage.Store) storage.Store) Option {
	return func(o *options) { o.another = another }
}

// Run proves the stores that open returns. Each test gets an empty one, which
// open closes in a cleanup.
func Run(t *testing.T, open func(t *testing.T) storage.Store, more ...Option) {
	var o options
	for _, option := range more {
		option(&o)
	}
	authtest.Run(t, open)
	connectiontest.Run(t, open)
	sessiontest.Run(t, open)
	keytest.Run(t, open)
	persontest.Run(t, open)
	sealtest.Run(t, open)
	sharedtest.Run(t, open, o.another)
	suite.Run(t, map[string]map[string]func(*fixture){
		"open":  openTests,
		"usage": usageTests,
		"close": closeTests,
	}, func(t *testing.T) *fixture { return newFixture(t, open(t)) })
}
