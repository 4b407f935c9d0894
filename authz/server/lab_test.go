package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// What the tests of the authorization endpoint, the token endpoint and their
// neighbours share: one server with a few clients, and requests to it.
const (
	labIssuer   = "https://mcp.example.com"
	labNotion   = labIssuer + "/mcp/notion"
	labMain     = labIssuer + "/mcp"
	labRedirect = "https://app.example/cb"
	labVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	labSecret   = "correct horse battery staple"
)

// Limits of packages ratelimit and clients, per minute.
const (
	authFailuresPerClient  = 10
	wrongSecretsPerAddress = 60
	fetchesPerAddress      = 20
	fetchesPerHost         = 120
)

var labStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type lab struct {
	t      testing.TB
	as     *AuthorizationServer
	store  *faultyStore
	routes map[string]http.Handler
	pages  *labPages
	logs   *observer.ObservedLogs

	mu  sync.Mutex
	now time.Time
}

// labSite is what a lab serves: the configuration of a site, and its clients.
type labSite struct {
	config.Site
	Clients []clients.Client
}

// site returns the configuration, which names the clients.
func (s *labSite) site() *config.Site {
	site := s.Site
	for _, c := range s.Clients {
		site.Clients = append(site.Clients, config.Client{ID: c.ID})
	}
	return &site
}

func labConfig() labSite {
	both := []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	secret := storage.HashOf(labSecret)
	client := func(id string, method string, grants []string, redirects ...string) clients.Client {
		c := clients.Client{ID: id, Origin: clients.Preregistered, Fingerprint: storage.HashOf(id), Metadata: oauth.ClientMetadata{
			RedirectURIs: redirects, TokenEndpointAuthMethod: method, GrantTypes: grants, ResponseTypes: []string{"code"}, ClientName: id,
		}}
		if method == oauth.AuthSecretBasic || method == oauth.AuthSecretPost {
			c.SecretHash = &secret
		}
		return c
	}
	inspector := client("inspector", oauth.AuthSecretBasic, both, labRedirect)
	inspector.Introspect = true
	cfg := labSite{Site: config.Site{
		Issuer: labIssuer,
		Servers: []*config.Server{
			{ID: "notion", Title: "Notion", Path: "/mcp/notion", Resource: labNotion, Scopes: []string{"mcp:use"}, OptionalScopes: []string{"notion:admin"}},
			{ID: "main", Title: "Main", Path: "/mcp", Resource: labMain, Scopes: []string{"mcp:use"}},
		},
		SignIn: identity.Methods{identity.ByVirtualKey(nil), identity.ByUserID(), identity.Anonymously()},
		Keys: identity.NewVirtualKeys(
			identity.Key{Name: "team", Hash: storage.HashOf("team key")},
			identity.Key{Name: "ci", Hash: storage.HashOf("ci key"), Servers: []string{"notion"}},
		),
		Lifetimes:    config.DefaultLifetimes,
		Registration: config.DefaultRegistration(),
	}}
	cfg.CodeLifetime = config.Duration(time.Minute)
	cfg.Clients = []clients.Client{
		client("app", oauth.AuthNone, both, labRedirect, "https://app.example/other?keep=1"),
		client("single", oauth.AuthNone, both, labRedirect),
		client("foreign", oauth.AuthNone, both, labRedirect),
		client("native", oauth.AuthNone, both, "http://127.0.0.1/cb"),
		client("editor", oauth.AuthNone, both, "cursor://anysphere.cursor/cb"),
		client("once", oauth.AuthNone, both[:1], labRedirect),
		client("web", oauth.AuthSecretBasic, both, labRedirect),
		inspector,
	}
	return cfg
}

// newLab returns a server on a memory store. Options change its configuration.
func newLab(t testing.TB, options ...func(*labSite)) *lab {
	t.Helper()
	return newLabOn(t, memstore.New(), options...)
}

func newLabOn(t testing.TB, store storage.Store, options ...func(*labSite)) *lab {
	t.Helper()
	keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	l := &lab{t: t, store: &faultyStore{Store: store}, pages: &labPages{}, logs: logs, now: labStart}
	cfg := labConfig()
	for _, o := range options {
		o(&cfg)
	}
	signInByKeys(&cfg.Site)
	l.start(New(cfg.site(), Deps{
		Store: l.store, Clients: completed(t, cfg.Clients), Keys: keys, Tokens: tokens.NewCache(l.store, 100), Limiter: l.limiter(), Egress: egress.New(egress.Options{}),
		Documents: labDocuments(),
		Pages:     l.pages, ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Logger: zap.New(core), Now: l.time,
	}))
	return l
}

// labDocuments returns an empty cache of a machine that resolves names.
func labDocuments() *clients.DocumentCache {
	c := clients.NewDocumentCache()
	c.Resolves = func(context.Context, *egress.Client, string) bool { return true }
	return c
}

// limiter returns an empty limiter on the lab's clock.
func (l *lab) limiter() *ratelimit.Limiter {
	limiter := ratelimit.New(1000)
	limiter.Now = l.time
	return limiter
}

func (l *lab) start(as *AuthorizationServer) {
	l.as, l.routes = as, map[string]http.Handler{}
	for _, r := range as.Routes() {
		l.routes[r.Path] = r.Handler
	}
}

// reload replaces the configuration, as an operator does, on the same store.
func (l *lab) reload(change func(*labSite)) {
	cfg := l.serves()
	change(&cfg)
	signInByKeys(&cfg.Site)
	deps := l.as.deps
	deps.Clients = completed(l.t, cfg.Clients)
	l.start(New(cfg.site(), deps))
}

// serves returns a copy of what the lab serves.
func (l *lab) serves() labSite {
	site, registration := *l.as.cfg, *l.as.cfg.Registration
	site.Clients, site.Registration = nil, &registration
	return labSite{site, slices.Clone(l.as.deps.Clients)}
}

// completed returns pre-registered clients as the configuration makes them.
func completed(t testing.TB, clients []clients.Client) []clients.Client {
	t.Helper()
	clients = slices.Clone(clients)
	for i := range clients {
		if err := clients[i].Complete(config.DefaultRegistration().RedirectSchemes); err != nil {
			t.Fatal(clients[i].ID, err)
		}
	}
	return clients
}

// signInByKeys makes the virtual keys of a configuration those that people sign
// in with, where that is a way to sign in.
func signInByKeys(c *config.Site) {
	c.SignIn = slices.Clone(c.SignIn)
	if m := c.SignIn.Of(string(identity.VirtualKey)); m != nil {
		*m = identity.ByVirtualKey(c.Keys)
	}
}

// replace starts the server anew with other dependencies.
func (l *lab) replace(change func(*Deps)) {
	deps := l.as.deps
	change(&deps)
	l.start(New(l.as.cfg, deps))
}

func (l *lab) time() time.Time { l.mu.Lock(); defer l.mu.Unlock(); return l.now }

func (l *lab) advance(d time.Duration) { l.mu.Lock(); defer l.mu.Unlock(); l.now = l.now.Add(d) }

// labPages records what a person was shown.
type labPages struct {
	mu            sync.Mutex
	status        int
	message       string
	correlationID string
}

func (p *labPages) Error(w http.ResponseWriter, _ *http.Request, status int, message, correlationID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.message, p.correlationID = status, message, correlationID
	http.Error(w, message+" "+correlationID, status)
}

func (l *lab) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.routes[r.URL.Path].ServeHTTP(w, r)
	return w
}

// labRounds is how often a race is run.
const labRounds = 50

// labStores returns an empty store of each kind.
func labStores(t testing.TB) map[string]storage.Store {
	t.Helper()
	bolt, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bolt.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]storage.Store{"memstore": memstore.New(), "boltstore": bolt}
}

// labKeys returns the key named team, good for one server.
func labKeys(server string) *identity.VirtualKeys {
	return identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{server}})
}

// replacedKey returns another key under the name team.
func replacedKey() *identity.VirtualKeys {
	return identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("the next team key")})
}

// request is an authorization request of the client app that nothing is wrong with.
func request(changes ...string) url.Values {
	v := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {labRedirect}, "state": {"xyz"},
		"code_challenge": {oauth.CodeChallenge(labVerifier)}, "code_challenge_method": {"S256"},
		"scope": {"mcp:use"}, "resource": {labNotion},
	}
	return with(v, changes...)
}

// with sets parameters, or removes those whose value is "-".
func with(v url.Values, changes ...string) url.Values {
	for i := 0; i < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
		if changes[i+1] == "-" {
			v.Del(changes[i])
		}
	}
	return v
}

func (l *lab) authorizeRaw(query string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, labIssuer+AuthorizePath, nil)
	r.URL.RawQuery = query
	return l.serve(r)
}

// browser is what a person's browser holds of a flow.
type browser struct {
	flowID string
	cookie *http.Cookie
}

// begin sends an authorization request that must be accepted.
func (l *lab) begin(v url.Values) browser {
	l.t.Helper()
	w := l.authorizeRaw(v.Encode())
	if w.Code != http.StatusFound {
		l.t.Fatalf("authorize: %d %s", w.Code, w.Body)
	}
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || location.Path != ConsentPath {
		l.t.Fatalf("authorize redirects to %q", w.Header().Get("Location"))
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		l.t.Fatalf("authorize sets %d cookies", len(cookies))
	}
	return browser{location.Query().Get("flow_id"), cookies[0]}
}

// get is a page load, post the submission of a form.
func (b browser) get() *http.Request {
	r := httptest.NewRequest(http.MethodGet, labIssuer+ServicesPath, nil)
	r.AddCookie(b.cookie)
	return r
}

func (b browser) post(form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, labIssuer+ConsentFormsPath+"submit", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(b.cookie)
	return r
}

func (l *lab) open(b browser) *flows.Flow {
	l.t.Helper()
	f, err := l.as.Flows.Open(b.get(), b.flowID)
	if err != nil {
		l.t.Fatalf("OpenFlow: %v", err)
	}
	return f
}

var alice = storage.Identity{Kind: string(identity.UserID), Subject: "user_id:alice", Name: "alice"}

func keyIdentity(name string) storage.Identity {
	return (&identity.Key{Name: name, Hash: storage.HashOf(name + " key")}).Identity()
}

// identifiedFrom is identified for a person at an address.
func (l *lab) identifiedFrom(address string, v url.Values, who storage.Identity) *flows.Flow {
	l.t.Helper()
	b := l.begin(v)
	if err := l.as.Flows.Identify(context.Background(), l.open(b), who); err != nil {
		l.t.Fatalf("Identify: %v", err)
	}
	r := b.get()
	r.RemoteAddr = address
	f, err := l.as.Flows.Open(r, b.flowID)
	if err != nil {
		l.t.Fatalf("Open: %v", err)
	}
	return f
}

// identified takes a flow up to the services page.
func (l *lab) identified(v url.Values, who storage.Identity) *flows.Flow {
	l.t.Helper()
	b := l.begin(v)
	if err := l.as.Flows.Identify(context.Background(), l.open(b), who); err != nil {
		l.t.Fatalf("Identify: %v", err)
	}
	return l.open(b)
}

// approved returns the answer that a client gets when a person agrees to all.
func (l *lab) approved(v url.Values, who storage.Identity, resources ...string) url.Values {
	l.t.Helper()
	f := l.identified(v, who)
	if len(resources) == 0 {
		resources = grants.ResourcesOf(l.as.Flows.Servers(f))
	}
	target, err := l.as.Flows.Approve(context.Background(), f, flows.Approval{Resources: resources})
	if err != nil {
		l.t.Fatalf("Approve: %v", err)
	}
	return answer(l.t, target)
}

func answer(t testing.TB, target string) url.Values {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// code returns a code of the client app for the server notion.
func (l *lab) code(changes ...string) string {
	l.t.Helper()
	return l.approved(request(changes...), alice).Get("code")
}

// reply is a token endpoint's answer.
type reply struct {
	status  int
	header  http.Header
	body    string
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Expires int64  `json:"expires_in"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
	Active  bool   `json:"active"`
}

// post sends a form to an endpoint. A client named "web" or "inspector"
// authenticates with its secret, any other names itself in the form.
func (l *lab) post(path, client string, form url.Values) reply {
	l.t.Helper()
	basic := client == "web" || client == "inspector"
	if !basic && client != "" {
		form.Set("client_id", client)
	}
	r := httptest.NewRequest(http.MethodPost, labIssuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(labSecret))
	}
	return l.reply(l.serve(r))
}

func (l *lab) reply(w *httptest.ResponseRecorder) reply {
	l.t.Helper()
	out := reply{status: w.Code, header: w.Header(), body: w.Body.String()}
	if w.Header().Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			l.t.Fatalf("answer %q: %v", w.Body, err)
		}
	}
	return out
}

func redemption(code string, changes ...string) url.Values {
	return with(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {labVerifier},
		"redirect_uri": {labRedirect}, "resource": {labNotion},
	}, changes...)
}

func (l *lab) redeem(client, code string, changes ...string) reply {
	l.t.Helper()
	return l.post(TokenPath, client, redemption(code, changes...))
}

func (l *lab) refresh(client, token string, changes ...string) reply {
	l.t.Helper()
	return l.post(TokenPath, client, with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, changes...))
}

// signedIn returns tokens of the client app for the server notion.
func (l *lab) signedIn() reply {
	l.t.Helper()
	got := l.redeem("app", l.code())
	if got.status != http.StatusOK || got.Access == "" || got.Refresh == "" {
		l.t.Fatalf("sign-in: %d %s", got.status, got.body)
	}
	return got
}

// live reports whether an access token is good for anything, by the store and
// by the cache that the gate asks.
func (l *lab) live(access string) bool {
	l.t.Helper()
	_, err := l.store.AccessToken(context.Background(), storage.HashOf(access), l.time())
	t, cached := lookUp(context.Background(), l.as.deps.Tokens, storage.HashOf(access), l.time())
	if (err == nil) != (cached == nil && l.time().Before(t.ExpiresAt)) {
		l.t.Errorf("store says %v, cache says %v", err, cached)
	}
	return err == nil
}

// lookUp is what the gate does with a token that was issued here.
func lookUp(ctx context.Context, c *tokens.Cache, h storage.Hash, now time.Time) (*storage.AccessToken, error) {
	e, generation := c.Fresh(h, now)
	if e == nil {
		var err error
		if e, err = c.Read(ctx, h, now, generation); err != nil {
			return nil, err
		}
	}
	return &e.Token, nil
}

func (l *lab) want(got reply, status int, code string) {
	l.t.Helper()
	if got.status != status || got.Error != code {
		l.t.Errorf("answer = %d %s, want %d %s", got.status, got.body, status, code)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		l.t.Error("the answer may be cached")
	}
}

func zapCorrelation(id string) zapcore.Field { return zap.String("correlation_id", id) }
