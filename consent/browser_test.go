package consent

import (
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/ratelimit"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/consent/pages"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

// walk is a site with a real authorization server behind its pages, and what
// its clients know.
type walk struct {
	t      *testing.T
	mux    *http.ServeMux
	as     *authz.AuthorizationServer
	broker *accounts.Broker // nil on a site with nothing to connect
	clock  sync.Mutex       // guards now
	now    time.Time

	store   storage.Store
	servers []accounts.Server
	shared  *accounts.Shared // closing it waits for what goes on in the background
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	return newWalkTo(t)
}

// newWalkTo returns a site whose servers people connect to these upstreams.
func newWalkTo(t *testing.T, servers ...accounts.Server) *walk {
	t.Helper()
	return newWalkOn(t, memstore.New(), servers...)
}

func newWalkOn(t *testing.T, store storage.Store, servers ...accounts.Server) *walk {
	t.Helper()
	return newWalkWith(t, store, []identity.Key{{Name: "team-a", Hash: storage.HashOf(testKey), Servers: []string{"github"}}}, servers...)
}

// reload is what an operator does who gives out other keys: the browser comes
// to the same site under another configuration.
func (b *browser) reload(keys ...identity.Key) {
	b.t.Helper()
	now := b.now
	b.walk = newWalkWith(b.t, b.store, keys, b.servers...)
	b.now = now
}

func newWalkWith(t *testing.T, store storage.Store, virtual []identity.Key, servers ...accounts.Server) *walk {
	t.Helper()
	return newWalkBy(t, store, func(c *config.Site) {
		c.SignIn, c.Keys = signInWith(virtual...), identity.NewVirtualKeys(virtual...)
	}, servers...)
}

// newWalkBy returns a site whose configuration change has changed.
func newWalkBy(t *testing.T, store storage.Store, change func(*config.Site), servers ...accounts.Server) *walk {
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
func newServer(t *testing.T, store storage.Store, log *zap.Logger, change func(*config.Site), servers ...accounts.Server) (*walk, Deps) {
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
	editor := authz.Client{ID: "editor", Metadata: oauth.ClientMetadata{
		ClientName: "Editor", RedirectURIs: []string{"cursor://anysphere.cursor-mcp/oauth/callback"},
		TokenEndpointAuthMethod: oauth.AuthNone, GrantTypes: []string{"authorization_code"},
	}}
	if err := editor.Complete(cfg.Registration.RedirectSchemes); err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, mux: http.NewServeMux(), now: time.Now(), store: store, servers: servers}
	deps := authz.Deps{
		Store: store, Clients: []authz.Client{editor}, Keys: keys, Tokens: tokens.NewCache(store, 10), Limiter: ratelimit.New(100),
		Egress: egress.New(egress.Options{}), Documents: authz.NewDocumentCache(), Pages: p, Logger: zap.NewNop(),
		ClientIP: func(r *http.Request) string { return r.RemoteAddr }, Now: w.time,
	}
	if len(servers) > 0 {
		w.shared = accounts.NewShared()
		t.Cleanup(w.shared.Close)
		w.broker = accounts.New(accounts.Config{Issuer: cfg.Issuer, Servers: servers}, accounts.Deps{
			Store: store, Keys: keys, Egress: egress.New(egress.Options{Loopback: true}),
			Operator: egress.New(egress.Options{Anywhere: true}), Shared: w.shared, Logger: zap.NewNop(), Now: deps.Now,
		})
		deps.Connections = w.broker
	}
	w.as = authz.New(&cfg, deps)
	return w, Deps{
		Server: w.as, Broker: w.broker, Pages: p, Logger: log,
		Logins: &identity.Logins{Issuer: cfg.Issuer, Store: store, Keys: keys, Now: w.time},
	}
}

// serve serves the pages beside the authorization server.
func (w *walk) serve(c *Consent) {
	for _, route := range slices.Concat(w.as.Routes(), c.Routes()) {
		w.mux.Handle(route.Path, route.Handler)
	}
}

// browser is one person's: it has the cookies it was given.
type browser struct {
	*walk
	cookies map[string]string
	user    string // whom another handler authenticated

	identity string // the address of its identity page
}

func (w *walk) browser() *browser { return &browser{walk: w, cookies: map[string]string{}} }

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	// As documented, the other handler is in front of the pages alone.
	if b.user != "" && !strings.HasPrefix(r.URL.Path, accounts.SharedCallbackPath) {
		r = r.WithContext(identity.WithUser(r.Context(), b.user))
	}
	w := httptest.NewRecorder()
	b.mux.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	return w
}

func (b *browser) open(target string) *httptest.ResponseRecorder {
	return b.send(httptest.NewRequest(http.MethodGet, target, nil))
}

var linkOfTheClient = authz.AuthorizePath + "?" + url.Values{
	"response_type": {"code"}, "client_id": {"editor"}, "state": {"a b&c"},
	"redirect_uri":   {"cursor://anysphere.cursor-mcp/oauth/callback"},
	"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
}.Encode()

// start opens the link of a client and returns the address of the identity page.
func (b *browser) start() string {
	b.t.Helper()
	w := b.open(linkOfTheClient)
	if w.Code != http.StatusFound {
		b.t.Fatalf("authorize: %d\n%s", w.Code, shows(w))
	}
	return w.Header().Get("Location")
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// press sends the form at path on a page, with further values.
func (b *browser) press(page *httptest.ResponseRecorder, path string, more url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	if formFor(page.Body.String(), path) == "" {
		b.t.Fatalf("no form for %s on\n%s", path, shows(page))
	}
	values := hiddenFields(page, path)
	maps.Copy(values, more)
	return b.post(path, values)
}

// post sends a form as a page of ours does.
func (b *browser) post(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

// hiddenFields are those of the form for a path on a page.
func hiddenFields(page *httptest.ResponseRecorder, path string) url.Values {
	values := url.Values{}
	for _, field := range hiddenField.FindAllStringSubmatch(formFor(page.Body.String(), path), -1) {
		values.Add(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	return values
}

// formFor returns the first form on a page that, or a button of which, is sent
// to the path.
func formFor(page, path string) string {
	for _, form := range strings.Split(page, "<form ")[1:] {
		form, _, _ = strings.Cut(form, "</form>")
		if strings.Contains(form, `action="`+path+`"`) {
			return form
		}
	}
	return ""
}

// signIn goes from the client's link to the services page, as user.
func (b *browser) signIn(user string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.press(b.open(b.start()), userIDPath, url.Values{"user_id": {user}})
	if w.Code != http.StatusSeeOther {
		b.t.Fatalf("identity: %d\n%s", w.Code, shows(w))
	}
	return b.open(w.Header().Get("Location"))
}

// shows returns what a page shows below its header.
func shows(w *httptest.ResponseRecorder) string {
	_, page, _ := strings.Cut(w.Body.String(), "<main>")
	return page
}

func mustAnswer(t *testing.T, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status = %d, want %d\n%s", w.Code, status, shows(w))
	}
}

// answer returns what the client is told.
func answer(t *testing.T, w *httptest.ResponseRecorder) url.Values {
	t.Helper()
	mustAnswer(t, w, http.StatusSeeOther)
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || u.Scheme != "cursor" {
		t.Fatalf("Location = %q, %v", w.Header().Get("Location"), err)
	}
	return u.Query()
}

func (w *walk) time() time.Time {
	w.clock.Lock()
	defer w.clock.Unlock()
	return w.now
}

func (w *walk) advance(d time.Duration) {
	w.clock.Lock()
	defer w.clock.Unlock()
	w.now = w.now.Add(d)
}
