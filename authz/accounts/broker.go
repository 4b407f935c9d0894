package accounts

import (
	"context"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Store keeps what a broker must remember.
type Store interface {
	storage.ConnectionStore
	// Used is as in storage.AuthStore.
	Used(ctx context.Context, h storage.Hash, now time.Time) (bool, error)
	// PutSiteValue and SiteValue are as in storage.AuthStore, too.
	PutSiteValue(ctx context.Context, v storage.SiteValue) error
	SiteValue(ctx context.Context, issuer, name string, now time.Time) (storage.SiteValue, error)
	// Person is as in storage.PersonStore.
	Person(ctx context.Context, issuer, subject string, now time.Time) (storage.Person, error)
}

// Deps is what a broker works with.
type Deps struct {
	Store Store
	// Keys seal credentials and connect requests, and sign client assertions.
	Keys *seal.Keyring
	// Egress reaches what servers and providers name.
	Egress *egress.Client
	// Operator reaches the origins that the configuration names, wherever they are.
	Operator *egress.Client
	// Shared is the same for every broker on the same Store.
	Shared *Shared
	Events *event.Recorder
	Now    func() time.Time
}

// Broker connects people to the upstream servers of one site, and gives their
// calls what they connected. It is safe for concurrent use.
type Broker struct {
	*site
	*connector
	*vault
	*connections
	*registrar
	*revoker
	*statuses
}

// New returns the broker for a valid configuration.
func New(cfg *config.Site, deps Deps) *Broker {
	st := newSite(cfg, deps)
	registrar := &registrar{site: st}
	statuses := &statuses{site: st}
	revoker := &revoker{site: st, registrar: registrar}
	connections := &connections{site: st, statuses: statuses, revoker: revoker, pause: deps.Shared.pause}
	revoker.disconnect = connections.Disconnect
	refresher := &refresher{site: st, registrar: registrar, revoker: revoker, pause: deps.Shared.pause}
	return &Broker{
		site:        st,
		connector:   &connector{site: st, registrar: registrar, connections: connections, statuses: statuses},
		vault:       &vault{site: st, refresher: refresher},
		connections: connections,
		registrar:   registrar,
		revoker:     revoker,
		statuses:    statuses,
	}
}

// Why connecting failed, besides what our OAuth client runs into. An error that
// is no client.Error came from the store.
const (
	// UnknownServer: there is no such server, or it is not connected this way.
	UnknownServer client.Problem = "unknown_server"
	// RequestEnded: the answer belongs to no pending request: it came late, or twice.
	RequestEnded client.Problem = "trip_ended"
	// OtherBrowser: the answer came in another browser than the request.
	OtherBrowser client.Problem = "other_browser"
	// Left: the person who began has signed out since, was signed out, or somebody
	// else is signed in now.
	Left client.Problem = "left"
	// Replaced: meanwhile the service was connected in another way.
	Replaced client.Problem = "replaced"
	// WrongKey: the server does not take the pasted key.
	WrongKey client.Problem = "wrong_key"
	// WrongAccount: it is an account of another domain than the operator expects.
	WrongAccount client.Problem = "wrong_account"
	// AccountUntold: the provider does not tell of which domain the account is.
	AccountUntold client.Problem = "account_untold"
	// TooManyAccounts: the person has as many accounts at the server as they can have.
	TooManyAccounts client.Problem = "too_many_accounts"
)
