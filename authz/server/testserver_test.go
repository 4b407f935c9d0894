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

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/flows"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/grants"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// What the tests of the authorization endpoint, the token endpoint and their
// neighbours share: one server with a few clients, and requests to it.
const (
	testIssuer     = "https://mcp.example.com"
	notionResource = testIssuer + "/mcp/notion"
	mainResource   = testIssuer + "/mcp"
	testRedirect   = "https://app.example/cb"
	testVerifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	testSecret     = "correct horse battery staple"
)

// Limits of packages ratelimit and clients, per minute.
const (
	authFailuresPerClient  = 10
	wrongSecretsPerAddress = 60
	fetchesPerAddress      = 20
	fetchesPerHost         = 120
)

var testStart = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type testServer struct {
	t      testing.TB
	as     *AuthorizationServer
	clock  *oauthtest.Clock
	store  *faultyStore
	routes map[string]http.Handler
	pages  *recordedPages
	logs   *observer.ObservedLogs
}

// siteConfig is what a server serves: the configuration of a site, and its clients.
type siteConfig struct {
	config.Site
	Clients []clients.Client
}

// site returns the configuration, which names the clients.
func (s *siteConfig) site() *config.Site {
	site := s.Site
	for _, c := range s.Clients {
		site.Clients = append(site.Clients, config.Client{ID: c.ID})
	}
	return &site
}

func testConfig() siteConfig {
	both := []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}
	secret := storage.HashOf(testSecret)
	client := func(id string, method string, grants []string, redirects ...string) clients.Client {
		c := clients.Client{ID: id, Origin: clients.Preregistered, Fingerprint: storage.HashOf(id), Metadata: oauth.ClientMetadata{
			RedirectURIs: redirects, TokenEndpointAuthMethod: method, GrantTypes: grants, ResponseTypes: []string{"code"}, ClientName: id,
		}}
		if method == oauth.AuthSecretBasic || method == oauth.AuthSecretPost {
			c.SecretHash = &secret
		}
		return c
	}
	inspector := client("inspector", oauth.AuthSecretBasic, both, testRedirect)
	inspector.Introspect = true
	cfg := siteConfig{Site: config.Site{
		Issuer: testIssuer,
		Servers: []*config.Server{
			{ID: "notion", Title: "Notion", Path: "/mcp/notion", Resource: notionResource, Scopes: []string{"mcp:use"}, OptionalScopes: []string{"notion:admin"}},
			{ID: "main", Title: "Main", Path: "/mcp", Resource: mainResource, Scopes: []string{"mcp:use"}},
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
		client("app", oauth.AuthNone, both, testRedirect, "https://app.example/other?keep=1"),
		client("single", oauth.AuthNone, both, testRedirect),
		client("foreign", oauth.AuthNone, both, testRedirect),
		client("native", oauth.AuthNone, both, "http://127.0.0.1/cb"),
		client("editor", oauth.AuthNone, both, "cursor://anysphere.cursor/cb"),
		client("once", oauth.AuthNone, both[:1], testRedirect),
		client("web", oauth.AuthSecretBasic, both, testRedirect),
		inspector,
	}
	return cfg
}

// newTestServer returns a server on a memory store. Options change its configuration.
func newTestServer(t testing.TB, options ...func(*siteConfig)) *testServer {
	t.Helper()
	return newTestServerOn(t, memstore.New(), options...)
}

func newTestServerOn(t testing.TB, store storage.Store, options ...func(*siteConfig)) *testServer {
	t.Helper()
	keys, err := seal.NewKeyring([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	ts := &testServer{t: t, store: &faultyStore{Store: store}, pages: &recordedPages{}, logs: logs, clock: oauthtest.NewClock(testStart)}
	cfg := testConfig()
	for _, o := range options {
		o(&cfg)
	}
	signInByKeys(&cfg.Site)
	ts.start(New(cfg.site(), Deps{
		Store: ts.store, Clients: completed(t, cfg.Clients), Keys: keys, TokenCache: tokens.NewCache(ts.store, 100), Limiter: ts.limiter(), Egress: egress.New(egress.Options{}),
		Documents: newDocuments(),
		Pages:     ts.pages, ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Events: oauthtest.Events(zap.New(core)), Now: ts.clock.Now,
	}))
	return ts
}

// newDocuments returns an empty cache of a machine that resolves names.
func newDocuments() *clients.DocumentCache {
	c := clients.NewDocumentCache()
	c.Resolves = func(context.Context, *egress.Client, string) bool { return true }
	return c
}

// limiter returns an empty limiter on the server's clock.
func (ts *testServer) limiter() *ratelimit.Limiter {
	limiter := ratelimit.New(1000)
	limiter.Now = ts.clock.Now
	return limiter
}

func (ts *testServer) start(as *AuthorizationServer) {
	ts.as, ts.routes = as, map[string]http.Handler{}
	for _, r := range as.Routes() {
		ts.routes[r.Path] = r.Handler
	}
}

// reload replaces the configuration, as an operator does, on the same store.
func (ts *testServer) reload(change func(*siteConfig)) {
	cfg := ts.serves()
	change(&cfg)
	signInByKeys(&cfg.Site)
	deps := ts.as.deps
	deps.Clients = completed(ts.t, cfg.Clients)
	ts.start(New(cfg.site(), deps))
}

// serves returns a copy of what the server serves.
func (ts *testServer) serves() siteConfig {
	site, registration := *ts.as.cfg, *ts.as.cfg.Registration
	site.Clients, site.Registration = nil, &registration
	return siteConfig{site, slices.Clone(ts.as.deps.Clients)}
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
func (ts *testServer) replace(change func(*Deps)) {
	deps := ts.as.deps
	change(&deps)
	ts.start(New(ts.as.cfg, deps))
}

// recordedPages records what a person was shown.
type recordedPages struct {
	mu            sync.Mutex
	status        int
	message       string
	correlationID string
}

func (p *recordedPages) Error(w http.ResponseWriter, _ *http.Request, status int, message, correlationID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.message, p.correlationID = status, message, correlationID
	http.Error(w, message+" "+correlationID, status)
}

func (ts *testServer) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	ts.routes[r.URL.Path].ServeHTTP(w, r)
	return w
}

// raceRounds is how often a race is run.
const raceRounds = 50

// testStores returns an empty store of each kind.
func testStores(t testing.TB) map[string]storage.Store {
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

// keyOfTeam returns the key named team, good for one server.
func keyOfTeam(server string) *identity.VirtualKeys {
	return identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("team key"), Servers: []string{server}})
}

// replacedKey returns another key under the name team.
func replacedKey() *identity.VirtualKeys {
	return identity.NewVirtualKeys(identity.Key{Name: "team", Hash: storage.HashOf("the next team key")})
}

// request is an authorization request of the client app that nothing is wrong with.
func request(changes ...string) url.Values {
	v := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {testRedirect}, "state": {"xyz"},
		"code_challenge": {oauth.CodeChallenge(testVerifier)}, "code_challenge_method": {"S256"},
		"scope": {"mcp:use"}, "resource": {notionResource},
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

func (ts *testServer) authorizeRaw(query string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, testIssuer+AuthorizePath, nil)
	r.URL.RawQuery = query
	return ts.serve(r)
}

// browser is what a person's browser holds of a flow.
type browser struct {
	flowID string
	cookie *http.Cookie
}

// begin sends an authorization request that must be accepted.
func (ts *testServer) begin(v url.Values) browser {
	ts.t.Helper()
	w := ts.authorizeRaw(v.Encode())
	if w.Code != http.StatusFound {
		ts.t.Fatalf("authorize: %d %s", w.Code, w.Body)
	}
	location, err := url.Parse(w.Header().Get("Location"))
	if err != nil || location.Path != ConsentPath {
		ts.t.Fatalf("authorize redirects to %q", w.Header().Get("Location"))
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		ts.t.Fatalf("authorize sets %d cookies", len(cookies))
	}
	return browser{location.Query().Get("flow_id"), cookies[0]}
}

// get is a page load, post the submission of a form.
func (b browser) get() *http.Request {
	r := httptest.NewRequest(http.MethodGet, testIssuer+ConsentPath+"/mcps", nil)
	r.AddCookie(b.cookie)
	return r
}

func (b browser) post(form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, testIssuer+EndpointPrefix+"consent/submit", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(b.cookie)
	return r
}

func (ts *testServer) open(b browser) *flows.Flow {
	ts.t.Helper()
	f, err := ts.as.Flows.Open(b.get(), b.flowID)
	if err != nil {
		ts.t.Fatalf("OpenFlow: %v", err)
	}
	return f
}

var alice = storage.Identity{Kind: string(identity.UserID), Subject: "user_id:alice", Name: "alice"}

func keyIdentity(name string) storage.Identity {
	return (&identity.Key{Name: name, Hash: storage.HashOf(name + " key")}).Identity()
}

// identifiedFrom is identified for a person at an address.
func (ts *testServer) identifiedFrom(address string, v url.Values, who storage.Identity) *flows.Flow {
	ts.t.Helper()
	b := ts.begin(v)
	if err := ts.as.Flows.Identify(context.Background(), ts.open(b), who); err != nil {
		ts.t.Fatalf("Identify: %v", err)
	}
	r := b.get()
	r.RemoteAddr = address
	f, err := ts.as.Flows.Open(r, b.flowID)
	if err != nil {
		ts.t.Fatalf("Open: %v", err)
	}
	return f
}

// identified takes a flow up to the services page.
func (ts *testServer) identified(v url.Values, who storage.Identity) *flows.Flow {
	ts.t.Helper()
	b := ts.begin(v)
	if err := ts.as.Flows.Identify(context.Background(), ts.open(b), who); err != nil {
		ts.t.Fatalf("Identify: %v", err)
	}
	return ts.open(b)
}

// approved returns the answer that a client gets when a person agrees to all.
func (ts *testServer) approved(v url.Values, who storage.Identity, resources ...string) url.Values {
	ts.t.Helper()
	f := ts.identified(v, who)
	if len(resources) == 0 {
		resources = grants.ResourcesOf(ts.as.Flows.Servers(f))
	}
	target, err := ts.as.Flows.Approve(context.Background(), f, flows.Approval{Resources: resources, Scope: ts.as.Flows.OptionalScope(f)})
	if err != nil {
		ts.t.Fatalf("Approve: %v", err)
	}
	return answer(ts.t, target)
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
func (ts *testServer) code(changes ...string) string {
	ts.t.Helper()
	return ts.approved(request(changes...), alice).Get("code")
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
func (ts *testServer) post(path, client string, form url.Values) reply {
	ts.t.Helper()
	basic := client == "web" || client == "inspector"
	if !basic && client != "" {
		form.Set("client_id", client)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(testSecret))
	}
	return ts.reply(ts.serve(r))
}

func (ts *testServer) reply(w *httptest.ResponseRecorder) reply {
	ts.t.Helper()
	out := reply{status: w.Code, header: w.Header(), body: w.Body.String()}
	if w.Header().Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			ts.t.Fatalf("answer %q: %v", w.Body, err)
		}
	}
	return out
}

func redemption(code string, changes ...string) url.Values {
	return with(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {testVerifier},
		"redirect_uri": {testRedirect}, "resource": {notionResource},
	}, changes...)
}

func (ts *testServer) redeem(client, code string, changes ...string) reply {
	ts.t.Helper()
	return ts.post(TokenPath, client, redemption(code, changes...))
}

func (ts *testServer) refresh(client, token string, changes ...string) reply {
	ts.t.Helper()
	return ts.post(TokenPath, client, with(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, changes...))
}

// signedIn returns tokens of the client app for the server notion.
func (ts *testServer) signedIn() reply {
	ts.t.Helper()
	got := ts.redeem("app", ts.code())
	if got.status != http.StatusOK || got.Access == "" || got.Refresh == "" {
		ts.t.Fatalf("sign-in: %d %s", got.status, got.body)
	}
	return got
}

// live reports whether an access token is good for anything, by the store and
// by the cache that the gate asks.
func (ts *testServer) live(access string) bool {
	ts.t.Helper()
	_, err := ts.store.AccessToken(context.Background(), storage.HashOf(access), ts.clock.Now())
	t, cached := lookUp(context.Background(), ts.as.deps.TokenCache, storage.HashOf(access), ts.clock.Now())
	if (err == nil) != (cached == nil && ts.clock.Now().Before(t.ExpiresAt)) {
		ts.t.Errorf("store says %v, cache says %v", err, cached)
	}
	return err == nil
}

// lookUp is what the gate does with a token that was issued here.
func lookUp(ctx context.Context, c *tokens.Cache, h storage.Hash, now time.Time) (*storage.AccessToken, error) {
	e, generation := c.Fresh(h, now)
	if e == nil {
		var err error
		if e, err = c.Read(ctx, h, now, generation, func(tokens.Contents) bool { return true }); err != nil {
			return nil, err
		}
	}
	return &e.Token, nil
}

func (ts *testServer) want(got reply, status int, code string) {
	ts.t.Helper()
	if got.status != status || got.Error != code {
		ts.t.Errorf("answer = %d %s, want %d %s", got.status, got.body, status, code)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		ts.t.Error("the answer may be cached")
	}
}

// logged returns the lines of the log about a kind of event.
func (ts *testServer) logged(k event.Kind) *observer.ObservedLogs {
	return ts.logs.FilterField(zap.String("event", k.String()))
}

// inDefaultLog reports whether an operator finds a reference who has changed no
// level.
func (ts *testServer) inDefaultLog(reference string) bool {
	return slices.ContainsFunc(ts.logs.FilterField(zapCorrelation(reference)).All(), func(e observer.LoggedEntry) bool {
		return e.Level >= zapcore.InfoLevel
	})
}

func zapCorrelation(id string) zapcore.Field { return zap.String("correlation_id", id) }
