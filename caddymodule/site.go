package caddymodule

import (
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/catalog"
	oauthclient "github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/pins"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/server"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/trace"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/virtualkeys"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/routes"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/toollists"
	"github.com/mcpoauth/caddy-mcp-oauth/consent"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/toolchanges"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/sealedvalue"
)

// site is a configured handler at work: its authorization server and its path
// table. It exists once the store is open, and never changes.
type site struct {
	as      *server.AuthorizationServer
	keys    *virtualkeys.Keys
	events  *event.Recorder
	broker  *accounts.Broker // nil unless a server is connected
	archive *trace.Archive
	kept    sealedvalue.Place // of what is stored of MCP servers
	offers  []*catalog.Server // whose lists are read
	pinned  []*pins.Tools     // of those that pin them
	routes  *routes.Table
}

// newSite builds the authorization server of h on what the process shares. It
// returns the MCP servers too, by resource.
func newSite(h *Handler, state *processState, keys *seal.Keyring) (*site, map[string]*gateway.Server) {
	h.addSinks(state)
	guarded, operator := h.reach(metrics.ClientHosts)
	logins := &identity.Logins{Issuer: h.cfg.Issuer, Store: state.store, Keys: keys, Now: time.Now}
	deps := server.Deps{
		Operator: operator, Logins: logins,
		Store: state.store, Clients: h.clients, Keys: keys, TokenCache: state.tokens, Limiter: state.limiter, StepUps: state.StepUps, Egress: guarded, Documents: state.Documents,
		Pages: h.pages, ClientIP: clientIP, Events: h.events, Now: time.Now,
	}
	broker := newBroker(h, state, keys)
	if broker != nil {
		deps.Connections, deps.PersonLeft = broker, broker.Left
	}
	as := server.New(h.cfg, deps)
	s := &site{
		as: as, events: h.events, broker: broker, archive: trace.NewArchive(h.cfg.Issuer, state.store, keys, time.Now),
		kept: sealedvalue.Place{Issuer: h.cfg.Issuer, Store: state.store, Keys: keys, Now: time.Now},
	}
	asker := &toollists.Asker{Accounts: broker, Events: h.events, Now: time.Now}
	people := consent.New(consent.Deps{
		Server: as, Broker: broker, Pages: h.pages, Events: h.events, LinkUsed: state.Elicitations.Complete, LinkAskedBy: state.Elicitations.AskedBy,
		Logins: logins, Catalog: state.catalog, Asker: asker, Changed: &toolchanges.Tools{Of: func(server string) *pins.Tools { return state.pins.Of(h.cfg.Issuer, server) }, Kept: s.kept},
	})
	all := append(as.Routes(), people.Routes()...)
	for i, route := range all {
		all[i].Handler = readsAhead(route.Handler)
	}
	s.routes = routes.NewTable(all)
	s.addConnectionRoutes(h.cfg)
	s.connectProviders(h, state, keys)
	shared := &gateway.Site{
		Issuer: h.cfg.Issuer, Who: h.cfg.Who, Accounts: broker, ConnectURL: as.Links.URL, ConsentElsewhere: h.cfg.ConsentElsewhere() != nil,
		Sessions: mcp.SessionsOf(keys, h.cfg.Issuer), States: mcp.NewStates(keys, h.cfg.Issuer), Ahead: storage.AheadOf(state.store),
		Limiter: state.Limiter, Streams: state.Streams, Elicitations: state.Elicitations, Store: state.store,
		AccessLog: h.logged, Traced: h.traced, Events: h.events, Audit: h.audit,
	}
	if as.Signing != nil {
		shared.Statements = signing.NewStatements(h.cfg, as.Signing, time.Now)
	}
	servers := make(map[string]*gateway.Server, len(h.cfg.Servers))
	for i, configured := range h.cfg.Servers {
		server := &gateway.Server{
			Server: configured, Site: shared, Gate: as.Gate(configured, h.landing.Servers[configured.ID]), Forward: h.forwarders[i],
			Counts: counted(h, configured), Offers: state.catalog.Of(h.cfg.Issuer, configured.ID),
		}
		s.offers = append(s.offers, server.Offers)
		if server.Pinned = gateway.NewPinned(configured, state.pins.Of(h.cfg.Issuer, configured.ID), s.kept); server.Pinned != nil {
			s.pinned = append(s.pinned, server.Pinned.Tools)
		}
		asker.Add(server)
		servers[server.Resource] = server
		s.routes.AddServer(server, func(account *config.Server) *gateway.Server {
			of := *server
			of.Server, of.Gate = account, as.Gate(account, h.landing.ForAccount(account))
			return &of
		})
	}
	return s, servers
}

// readsAhead lets requests read ahead.
func readsAhead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(storage.WithReads(r.Context())))
	})
}

// counted returns what counts the calls of a server.
func counted(h *Handler, s *config.Server) gateway.Counts {
	server := counts.Server(h.cfg.Issuer, s.ID)
	return gateway.Counts{Server: server, Timed: timesCalls(h.app), Tools: server.Tools(s.MetricTools)}
}

// timesCalls reports whether calls are timed, which is when the operator wants Caddy's
// own metrics.
func timesCalls(a *App) bool {
	if a.ctx.Context == nil {
		return false
	}
	app, err := a.ctx.AppIfConfigured("http")
	return err == nil && app.(*caddyhttp.App).Metrics != nil
}

// newRecorder returns what records the events of a site in its log. Sinks that
// need nothing of the process go here, others into addSinks.
func (h *Handler) newRecorder() *event.Recorder {
	return event.NewRecorder(event.Options{
		Site: h.cfg.Issuer, ClientIP: clientIP, Block: ratelimit.SenderBlock, Now: time.Now,
	}, event.NewLog(h.log), counts.Events(h.cfg.Issuer))
}

// addSinks adds the sinks that work on what the process shares.
func (h *Handler) addSinks(state *processState) {
	h.events.Add(state.Traces)
	if h.app.emitter != nil { // not in every test
		h.events.Add(h.app.emitter)
	}
}

// clientIP returns the address that Caddy found, which honours trusted_proxies.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

// reach returns what makes requests: to what others name, and to what the
// configuration names, which may be anywhere, also in a private network.
func (h *Handler) reach(to metrics.Destination) (guarded, operator *egress.Client) {
	observe := counts.ObserveRequests(to)
	return egress.New(egress.Options{Loopback: h.InsecureAllowLoopback, Observe: observe}), egress.New(egress.Options{Anywhere: true, Observe: observe})
}

// newBroker returns what connects people to the upstream servers of the site,
// or nil if there is nothing to connect.
func newBroker(h *Handler, state *processState, keys *seal.Keyring) *accounts.Broker {
	if len(h.cfg.ConnectedServers()) == 0 {
		return nil
	}
	guarded, operator := h.reach(metrics.Providers)
	return accounts.New(h.cfg, accounts.Deps{
		Store: state.store, Keys: keys, Shared: state.connections, Events: h.events, Now: time.Now,
		Egress: guarded, Operator: operator,
	})
}

// addConnectionRoutes serves what providers read about this site, and their
// answers at the paths that an operator chose.
func (s *site) addConnectionRoutes(cfg *config.Site) {
	if s.broker == nil {
		return
	}
	for path, document := range s.broker.ClientDocuments() {
		s.routes.Add(path, clientDocument(document))
	}
	for _, server := range cfg.ConnectedServers() {
		if path := server.Auth.CallbackPath; path != "" {
			s.routes.Alias(path, config.SharedCallbackPath)
		}
	}
}

// connectProviders lets people sign in at the OpenID Connect providers of the site.
func (s *site) connectProviders(h *Handler, state *processState, keys *seal.Keyring) {
	guarded, operator := h.reach(metrics.IdentityProviders)
	for _, p := range h.cfg.Providers {
		o := p.Options()
		form := oidc.Form(o.Name)
		profile := oauthclient.Profile{
			Site: h.cfg.Issuer, Name: h.cfg.Branding.Name, RedirectURI: h.cfg.Issuer + identity.CallbackPath + form, AuthMethod: o.AuthMethod,
			AssertionSeeds: func() [][32]byte {
				return keys.Derive("login assertion " + strconv.Quote(h.cfg.Issuer) + strconv.Quote(o.Issuer) + strconv.Quote(o.ClientID))
			},
		}
		p.Connect(oidc.Deps{Directory: state.Providers, Events: h.events, Client: oauthclient.Client{
			Guarded: guarded, Operator: operator, Profile: profile, Now: storage.NowOf(state.store, time.Now),
		}})
		go survive(h.app.ctx, p.Watch)
		if o.AuthMethod == oauth.AuthPrivateKeyJWT {
			s.routes.Add(config.LoginKeysPath+form, clientDocument(caddyconfig.JSON(profile.PublicKeys(), nil)))
		}
	}
}

// clientDocument serves one of our client ID metadata documents. Providers may
// keep it for a while.
func clientDocument(body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		oauth.WriteDocument(w, body, "max-age=300")
	})
}

// measured returns what metrics show of the configuration that serves now, or nil.
func measured() *metrics.State {
	app := activeApp()
	if app == nil {
		return nil
	}
	s := &metrics.State{Ready: readiness() == nil}
	app.mu.Lock()
	p, rotation := app.state, app.rotation
	app.mu.Unlock()
	if p == nil {
		return s
	}
	s.Usage, s.ResealingFor = p.usage.Of(p.store, time.Now()), rotation.Waiting()
	s.Caches = map[string]cache.Stats{"access_tokens": p.tokens.Stats(), "connections": p.connections.Stats()}
	open := p.Streams.Events()
	for _, server := range app.sites.allServers() {
		open[gateway.Place{Site: server.Site.Issuer, Server: server.ID}] += 0 // also where there is none
	}
	for at, open := range open {
		s.Streams = append(s.Streams, metrics.Streams{Site: at.Site, Server: at.Server, Open: open})
	}
	return s
}
