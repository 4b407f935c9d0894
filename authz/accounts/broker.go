package accounts

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Paths on our site.
const (
	// SharedCallbackPath is where providers of pre-registered clients send
	// browsers back to. All others have CallbackPath of their server.
	SharedCallbackPath = "/api/oauth/callback"
	// ClientDocumentPath starts the path of our client ID metadata documents.
	ClientDocumentPath = "/oauth/client/"
)

// CallbackPath is where the provider of one server sends browsers back to. A
// path of its own keeps an answer from being taken for another provider's
// (RFC 9700 section 4.4).
func CallbackPath(server string) string { return SharedCallbackPath + "/" + server }

// Store is what a broker needs of a storage.Store.
type Store interface {
	storage.ConnectionStore
	// Used is as in storage.Store.
	Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error)
}

// Deps is what a broker works with.
type Deps struct {
	Store Store
	// Keys seal credentials and trips, and sign client assertions.
	Keys *seal.Keyring
	// Egress reaches what servers and providers name.
	Egress *egress.Client
	// Operator reaches the origins that the configuration names, wherever they are.
	Operator *egress.Client
	// Shared is the same for every broker on the same Store.
	Shared *Shared
	Logger *zap.Logger
	Now    func() time.Time
}

// Broker connects people to the upstream servers of one site. It is safe for
// concurrent use.
type Broker struct {
	*site
	*vault
	*connections
	*statuses
	// registering has the registrations that are under way.
	registering singleflight.Group
	// revocations are on their way to providers.
	revocations revocationLines
	// unconfigured has the servers that warnUnconfigured has named.
	unconfigured sync.Map
	// asks has what is known of what providers are asked for, by server.
	asks   sync.Map
	asking singleflight.Group
}

// New returns the broker for a valid configuration.
func New(cfg Config, deps Deps) *Broker {
	st := newSite(cfg, deps)
	b := &Broker{site: st, statuses: &statuses{site: st}}
	b.connections = &connections{site: st, statuses: b.statuses, b: b}
	b.vault = &vault{site: st, refresher: &refresher{site: st, b: b, pause: deps.Shared.pause}}
	return b
}
