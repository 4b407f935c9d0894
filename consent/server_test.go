package consent

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// walk is a site with a real authorization server behind its pages, and what
// its clients know.
type walk struct {
	t      *testing.T
	mux    *http.ServeMux
	as     *server.AuthorizationServer
	broker *accounts.Broker // nil on a site with nothing to connect
	clock  *oauthtest.Clock
	events *event.Recorder

	store   storage.Store
	servers []*config.Server
	shared  *accounts.Shared // closing it waits for what goes on in the background
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	return newWalkTo(t)
}

// newWalkTo returns a site whose servers people connect to these upstreams.
func newWalkTo(t *testing.T, servers ...*config.Server) *walk {
	t.Helper()
	return newWalkOn(t, memstore.New(), servers...)
}

func newWalkOn(t *testing.T, store storage.Store, servers ...*config.Server) *walk {
	t.Helper()
	return newWalkWith(t, store, []identity.Key{{Name: "team-a", Hash: storage.HashOf(testKey), Servers: []string{"github"}}}, servers...)
}

// reload is what an operator does who gives out other keys: the browser comes
// to the same site under another configuration.
func (b *browser) reload(keys ...identity.Key) {
	b.t.Helper()
	now := b.clock.Now()
	b.walk = newWalkWith(b.t, b.store, keys, b.servers...)
	b.clock.Advance(now.Sub(b.clock.Now()))
}

func newWalkWith(t *testing.T, store storage.Store, virtual []identity.Key, servers ...*config.Server) *walk {
	t.Helper()
	return newWalkBy(t, store, func(c *config.Site) {
		c.SignIn, c.Keys = signInWith(virtual...), identity.NewVirtualKeys(virtual...)
	}, servers...)
}

// newWalkBy returns a site whose configuration change has changed.
func newWalkBy(t *testing.T, store storage.Store, change func(*config.Site), servers ...*config.Server) *walk {
	t.Helper()
	w, deps := newServer(t, store, zap.NewNop(), change, servers...)
	w.serve(New(deps))
	return w
}

// testConfig is a site with two servers, and all ways to sign in.
func testConfig() config.Site {
	keys := []identity.Key{{Name: "team-a", Hash: storage.HashOf(testKey)}}
	return config.Site{
		Issuer: "https://mcp.example.com",
		Servers: []*config.Server{{
			ID: "notion", Title: "Notion", Path: "/mcp/notion", Resource: "https://mcp.example.com/mcp/notion",
			Scopes: []string{"mcp:use"}, OptionalScopes: []string{"pages:write", oauth.ConnectScope("notion")},
		}, {
			ID: "github", Path: "/mcp/github", Resource: "https://mcp.example.com/mcp/github", Scopes: []string{"mcp:use"},
		}},
		Clients:      []config.Client{{ID: "editor"}},
		SignIn:       signInWith(keys...),
		Keys:         identity.NewVirtualKeys(keys...),
		Scopes:       []config.Scope{{Name: "pages:write", Description: "Change pages"}},
		Lifetimes:    config.DefaultLifetimes,
		Registration: config.DefaultRegistration(),
		Branding:     new(config.Branding),
	}
}

// connectBy has people connect their accounts at the servers as others do.
func connectBy(c *config.Site, others map[string]*config.Server) {
	for _, s := range c.Servers {
		if other := others[s.ID]; other != nil {
			s.Auth, s.Upstream = other.Auth, other.Upstream
		}
	}
}

// signInWith returns all ways to sign in, one of them with the keys.
func signInWith(keys ...identity.Key) identity.Methods {
	return identity.Methods{
		identity.ByVirtualKey(identity.NewVirtualKeys(keys...)), identity.ByUserID(), identity.ByCaddy(0), identity.Anonymously(),
	}
}

// newServer returns a site that serves nothing of its pages yet, and what they
// work with.
func newServer(t *testing.T, store storage.Store, log *zap.Logger, change func(*config.Site), servers ...*config.Server) (*walk, Deps) {
	t.Helper()
	keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := pages.New(pages.Brand{Name: "Example"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	configured := map[string]*config.Server{}
	for _, s := range servers {
		configured[s.ID] = s
	}
	connectBy(&cfg, configured)
	editor := clients.Client{ID: "editor", Metadata: oauth.ClientMetadata{
		ClientName: "Editor", RedirectURIs: []string{"cursor://anysphere.cursor-mcp/oauth/callback"},
		TokenEndpointAuthMethod: oauth.AuthNone, GrantTypes: []string{"authorization_code"},
	}}
	if err := editor.Complete(cfg.Registration.RedirectSchemes); err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, mux: http.NewServeMux(), clock: oauthtest.NewClock(time.Now()), store: store, servers: servers}
	deps := server.Deps{
		Store: store, Clients: []clients.Client{editor}, Keys: keys, TokenCache: tokens.NewCache(store, 10), Limiter: ratelimit.New(100),
		Egress: egress.New(egress.Options{}), Operator: egress.New(egress.Options{Anywhere: true}), Documents: clients.NewDocumentCache(), Pages: p,
		ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Now: w.clock.Now,
	}
	if len(servers) > 0 {
		w.shared = accounts.NewShared()
		t.Cleanup(w.shared.Close)
		w.broker = accounts.New(&cfg, accounts.Deps{
			Store: store, Keys: keys, Egress: egress.New(egress.Options{Loopback: true}),
			Operator: egress.New(egress.Options{Anywhere: true}), Shared: w.shared, Events: deps.Events, Now: deps.Now,
		})
		deps.Connections = w.broker
	}
	deps.Logins = &identity.Logins{Issuer: cfg.Issuer, Store: store, Keys: keys, Now: w.clock.Now}
	w.as = server.New(&cfg, deps)
	w.events = event.NewRecorder(event.Options{Site: cfg.Issuer, ClientIP: deps.ClientIP, Now: deps.Now}, event.NewLog(log))
	offers := catalog.New()
	return w, Deps{Server: w.as, Broker: w.broker, Pages: p, Events: w.events, Logins: deps.Logins, Catalog: offers, Asker: &fakeAsker{offers: offers}}
}

// serve serves the pages beside the authorization server.
func (w *walk) serve(c *Consent) {
	for _, route := range slices.Concat(w.as.Routes(), c.Routes()) {
		w.mux.HandleFunc(route.Path, func(rw http.ResponseWriter, r *http.Request) {
			route.Handler.ServeHTTP(rw, r.WithContext(w.events.Of(r)))
		})
	}
}
