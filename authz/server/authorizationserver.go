package server

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/gate"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/workload"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/initialtokens"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/persons"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/sessions"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/signing"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// Paths of the endpoints, at the site's root. Those that clients know by default
// are in Routes, those of metadata in package oauth.
const (
	EndpointPrefix = "/api/oauth/per-user/" // of forms of package consent, too
	RegisterPath   = EndpointPrefix + "register"
	AuthorizePath  = EndpointPrefix + "authorize"
	TokenPath      = EndpointPrefix + "token"
	revokePath     = EndpointPrefix + "revoke"
	introspectPath = EndpointPrefix + "introspect"
)

// ConsentPath is the page, of package consent, to which the authorization
// endpoint sends people.
const ConsentPath = "/oauth/consent"

// Store keeps what an authorization server must remember.
type Store interface {
	storage.AuthStore
	storage.SessionStore
	storage.PersonStore
	// LastDisconnect is as in storage.ConnectionStore.
	LastDisconnect(ctx context.Context, k storage.ConnectionKey) (uint64, error)
}

// Deps is what an authorization server works with.
type Deps struct {
	Store Store
	// Clients are the pre-registered ones.
	Clients []clients.Client
	// Keys seal pending flows, and mark access tokens as made here.
	Keys *seal.Keyring
	// TokenCache is shared by every authorization server on the same Store.
	TokenCache *tokens.Cache
	// Limiter is shared by every authorization server of the process.
	Limiter *ratelimit.Limiter
	// StepUps is shared by every authorization server of the process.
	StepUps *gate.StepUps
	// Egress fetches what unknown clients name: metadata documents and their keys.
	Egress *egress.Client
	// Operator fetches what the configuration names, wherever it is.
	Operator *egress.Client
	// Logins are for a dashboard, which says who signed in there.
	Logins *identity.Logins
	// Documents keeps that, for every authorization server of the process.
	Documents *clients.DocumentCache
	// Pages shows errors to people.
	Pages Pages
	// Connections is what people connect during a flow, or nil.
	Connections flows.Connections
	// PersonLeft is persons.Deps.Left.
	PersonLeft func(ctx context.Context, subject string) error
	// ClientIP returns the address limits are counted for.
	ClientIP func(*http.Request) string
	// Events are told what happens.
	Events *event.Recorder
	Now    func() time.Time
}

// Pages shows a person what went wrong.
type Pages interface {
	// Error answers with a page. correlationID is on it; message is plain text.
	Error(w http.ResponseWriter, r *http.Request, status int, message, correlationID string)
}

// AuthorizationServer answers the OAuth endpoints of one issuer.
type AuthorizationServer struct {
	Policy      *grants.Policy
	Persons     *persons.Persons
	Grants      *grants.Grants
	Withdrawals *grants.Withdrawals
	Sessions    *sessions.Sessions
	Flows       *flows.Flows
	Links       *Links
	Attempts    *ratelimit.Attempts
	// InitialTokens are those that an operator makes while the site runs.
	InitialTokens *initialtokens.Tokens
	// Signing is nil unless the site signs anything.
	Signing *signing.Keys

	cfg           *config.Site
	deps          Deps
	clients       *clients.Directory
	accessTokens  *tokens.AccessTokens
	refreshTokens *tokens.RefreshTokens
	lookup        *tokens.Lookup
	authenticator *clients.Authenticator
}

// Route is an endpoint.
type Route struct {
	// Path is matched exactly or, when it ends in a slash, as a prefix.
	Path    string
	Handler http.Handler
}

// New returns the authorization server for a valid configuration.
func New(cfg *config.Site, deps Deps) *AuthorizationServer {
	as := &AuthorizationServer{cfg: cfg, deps: deps}
	as.Policy = grants.NewPolicy(cfg)
	as.Persons = persons.New(cfg, persons.Deps{
		Store: deps.Store, Left: deps.PersonLeft, Cache: deps.TokenCache, Keys: deps.Keys, SessionLifetime: sessions.Lifetime, Events: deps.Events, Now: deps.Now,
	})
	as.Grants = grants.New(cfg, as.Policy, as.Persons, deps.Store, deps.TokenCache, deps.Events, deps.Now)
	as.Withdrawals = grants.NewWithdrawals(as.Grants, deps.Store)
	as.clients = clients.NewDirectory(cfg, deps.Clients, clients.DirectoryDeps{
		Store: deps.Store, Egress: deps.Egress, Documents: deps.Documents, Limiter: deps.Limiter, Events: deps.Events, Now: deps.Now,
	})
	as.InitialTokens = &initialtokens.Tokens{Issuer: cfg.Issuer, Store: deps.Store, Events: deps.Events, Now: deps.Now}
	as.accessTokens = tokens.NewAccessTokens(deps.Keys, cfg.Issuer)
	if cfg.Signs() {
		as.Signing = signing.NewKeys(cfg, deps.Store, deps.Keys, deps.Events, deps.Now)
	}
	as.refreshTokens = tokens.NewRefreshTokens(deps.Keys, cfg.Issuer)
	as.lookup = tokens.NewLookup(deps.Store, as.refreshTokens, deps.Now)
	as.Attempts = &ratelimit.Attempts{
		Issuer: cfg.Issuer, Origins: cfg.Origins(), UnprovedPerMinute: *cfg.Registration.RateLimit,
		Limiter: deps.Limiter, ClientIP: deps.ClientIP, Events: deps.Events,
	}
	as.authenticator = &clients.Authenticator{
		Issuer: cfg.Issuer, TokenEndpoint: cfg.Issuer + TokenPath, Directory: as.clients, Lookup: as.lookup,
		Attempts: as.Attempts, Store: deps.Store, Now: deps.Now,
	}
	as.Links = &Links{issuer: cfg.Issuer, keys: deps.Keys, store: deps.Store, now: deps.Now, ahead: storage.AheadOf(deps.Store)}
	as.Sessions = sessions.New(cfg, as.Policy, deps.Store, deps.Keys, deps.ClientIP, deps.Now)
	as.Flows = flows.New(flows.Deps{
		Config: cfg, Policy: as.Policy, Clients: as.clients, Sessions: as.Sessions, Keys: deps.Keys, Store: deps.Store,
		Connections: deps.Connections, ClientIP: deps.ClientIP, Events: deps.Events, Now: deps.Now,
	})
	return as
}

// Config returns the configuration. The caller must not change it.
func (as *AuthorizationServer) Config() *config.Site { return as.cfg }

// Gate returns the gate of one of the configured servers, and gives it the page
// for people who open the server's URL, or nil.
func (as *AuthorizationServer) Gate(s *config.Server, landing http.Handler) *gate.Gate {
	return gate.New(s, gate.Deps{
		Config: as.cfg, Policy: as.Policy, Grants: as.Grants, Store: as.deps.Store, AccessTokens: as.accessTokens, Cache: as.deps.TokenCache,
		StepUps:         as.deps.StepUps,
		AllowWrongToken: func(r *http.Request) bool { return as.Attempts.AllowWrongSecret(r, ratelimit.BearerToken) },
		Landing:         landing,
		Events:          as.deps.Events, Now: as.deps.Now,
	})
}

// NotFound answers at the site's other paths that are the issuer's.
func (as *AuthorizationServer) NotFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { notFound(w, r, as.deps.Events) })
}

func notFound(w http.ResponseWriter, r *http.Request, events *event.Recorder) {
	oauth.WriteError(r.Context(), w, events, event.RequestRefused, &oauth.Error{Status: http.StatusNotFound, Code: "not_found", Description: "There is no such document or endpoint."})
}

// Routes returns the endpoints, each to be served at the site's root. Those at
// /authorize, /token and /register serve clients that know the defaults of the
// MCP revision 2025-03-26 instead of reading metadata, those below /api/oauth/
// such as know those of a dashboard.
func (as *AuthorizationServer) Routes() []Route {
	authorize, tokenEndpoint := as.authorization(), as.tokenEndpoint()
	token := oauth.CORS(as.deps.Events, tokenEndpoint, http.MethodPost)
	register, manage := as.registration()
	routes := slices.Concat(as.metadata(tokenEndpoint.names()).routes(), as.backchannel(), as.dashboardRoutes(authorize))
	if as.Signing != nil {
		routes = append(routes, Route{oauth.JWKSPath, oauth.CORS(as.deps.Events, &jwksEndpoint{as.Signing, as.deps.Events}, http.MethodGet)})
	}
	return append(routes,
		Route{AuthorizePath, authorize}, Route{"/authorize", authorize},
		Route{TokenPath, token}, Route{"/token", token}, Route{"/api/oauth/token", token},
		Route{RegisterPath, register}, Route{"/register", register}, Route{"/api/oauth/register", register},
		Route{RegisterPath + "/", manage},
		Route{revokePath, oauth.CORS(as.deps.Events, as.revocation(), http.MethodPost)},
		Route{introspectPath, oauth.CORS(as.deps.Events, as.introspection(), http.MethodPost)},
	)
}

func (as *AuthorizationServer) authorization() *authorizationEndpoint {
	return &authorizationEndpoint{
		cfg: as.cfg, policy: as.Policy, flows: as.Flows, clients: as.clients, attempts: as.Attempts, pages: as.deps.Pages, events: as.deps.Events,
	}
}

// registration returns what registers clients, and what manages registrations.
// Neither exists where the operator switched registration off.
func (as *AuthorizationServer) registration() (register, manage http.Handler) {
	if !*as.cfg.Registration.Dynamic {
		return as.NotFound(), as.NotFound()
	}
	e := as.registrationEndpoint()
	return oauth.CORS(as.deps.Events, e, http.MethodPost),
		oauth.CORS(as.deps.Events, http.HandlerFunc(e.management), http.MethodGet, http.MethodPut, http.MethodDelete)
}

func (as *AuthorizationServer) registrationEndpoint() *registrationEndpoint {
	return &registrationEndpoint{
		cfg: as.cfg, clients: as.clients, flows: as.Flows, store: as.deps.Store, cache: as.deps.TokenCache, limiter: as.deps.Limiter,
		attempts: as.Attempts, clientIP: as.deps.ClientIP, tokens: as.InitialTokens, events: as.deps.Events, now: as.deps.Now,
	}
}

// CheckOutgoing tells, before the first client needs it, whether metadata documents
// of clients can be fetched.
func (as *AuthorizationServer) CheckOutgoing(ctx context.Context) {
	if *as.cfg.Registration.MetadataDocuments {
		as.clients.DocumentsFetchable(ctx)
	}
}

func (as *AuthorizationServer) metadata(grantTypes []string) *metadataEndpoint {
	return &metadataEndpoint{cfg: as.cfg, grantTypes: grantTypes, fetchable: as.clients.DocumentsFetchable, events: as.deps.Events}
}

func (as *AuthorizationServer) tokenEndpoint() *tokenEndpoint {
	d, issuer := &as.deps, &tokenIssuer{cfg: as.cfg, access: as.accessTokens, refresh: as.refreshTokens, keys: as.Signing, ahead: storage.AheadOf(as.deps.Store)}
	code := &codeGrant{
		cfg: as.cfg, policy: as.Policy, grants: as.Grants, issuer: issuer, store: d.Store, cache: d.TokenCache, events: as.deps.Events, now: d.Now,
	}
	refresh := &refreshGrant{
		cfg: as.cfg, policy: as.Policy, grants: as.Grants, issuer: issuer, store: d.Store, cache: d.TokenCache, limiter: d.Limiter,
		events: as.deps.Events, now: d.Now,
	}
	types := []grantType{{name: oauth.GrantAuthorizationCode, redeem: code.redeem}, {name: oauth.GrantRefreshToken, redeem: refresh.redeem}}
	return &tokenEndpoint{
		clients: as.authenticator, grantTypes: append(types, as.serviceGrantTypes(issuer)...), events: as.deps.Events, now: d.Now,
	}
}

// serviceGrantTypes are those by which programs get tokens for themselves, as far as
// the site has such programs.
func (as *AuthorizationServer) serviceGrantTypes(issuer *tokenIssuer) (types []grantType) {
	d := &as.deps
	services := &serviceIssuer{
		cfg: as.cfg, policy: as.Policy, issuer: issuer, store: d.Store, limiter: d.Limiter, events: d.Events, now: d.Now,
	}
	if as.cfg.SignIn.Of(string(identity.Client)) != nil {
		types = append(types, grantType{name: oauth.GrantClientCredentials, redeem: services.clientCredentials})
	}
	if trusts := as.cfg.Workloads(); len(trusts) > 0 {
		workloads := &workloadGrant{
			authenticate: as.authenticator.Authenticate, services: services, attempts: as.Attempts,
			verifiers: workload.New(trusts, d.Operator, storage.NowOf(d.Store, d.Now)),
		}
		types = append(types, grantType{name: oauth.GrantTokenExchange, open: workloads.exchange}, grantType{name: oauth.GrantJWTBearer, open: workloads.assertion})
	}
	return types
}

func (as *AuthorizationServer) revocation() *revocationEndpoint {
	return &revocationEndpoint{
		cfg: as.cfg, grants: as.Grants, authenticate: as.authenticator.Authenticate, lookup: as.lookup,
		store: as.deps.Store, cache: as.deps.TokenCache, events: as.deps.Events, now: as.deps.Now,
	}
}

func (as *AuthorizationServer) introspection() *introspectionEndpoint {
	return &introspectionEndpoint{
		authenticate: as.authenticator.Authenticate,
		validator:    grants.NewValidator(as.Policy, as.accessTokens, as.deps.Store, as.deps.Now),
		ahead:        storage.AheadOf(as.deps.Store),
		events:       as.deps.Events,
	}
}
