package accounts

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a web server of the test: honest by default, and made hostile by
// replacing single paths. It remembers what it was asked.
type host struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	seen  []seenRequest
}

type seenRequest struct {
	method, path string
	header       http.Header
	body         string
	form         url.Values
}

func newHost(t testing.TB) *host {
	h := &host{pages: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	h.mu.Lock()
	h.seen = append(h.seen, seenRequest{r.Method, r.URL.Path, r.Header, string(body), form})
	page := h.pages[r.URL.Path]
	h.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	page(w, r)
}

func (h *host) page(path string, f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f == nil {
		delete(h.pages, path)
		return
	}
	h.pages[path] = f
}

// requests returns what the path was asked.
func (h *host) requests(path string) []seenRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	var seen []seenRequest
	for _, r := range h.seen {
		if r.path == path {
			seen = append(seen, r)
		}
	}
	return seen
}

func (h *host) hits() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

func (h *host) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = nil
}

type object = map[string]any

func document(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

const (
	asMetadataPath = "/.well-known/oauth-authorization-server"
	oidcPath       = "/.well-known/openid-configuration"
	prmPath        = oauth.ProtectedResourcePath + "/mcp"
	testIssuer     = "https://gate.example"
	testOwner      = "user_id:alice"
)

var testBrowser = storage.HashOf("alice's browser")

// lab is a gate, an upstream MCP server and its provider.
type lab struct {
	*Broker
	t        *testing.T
	store    *labStore
	now      time.Time
	server   *host
	provider *host
}

// newLab returns the lab for one server called notion, with changes.
func newLab(t *testing.T, change ...func(*Config, *Server)) *lab {
	t.Helper()
	l := &lab{t: t, store: newLabStore(), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), server: newHost(t), provider: newHost(t)}
	l.server.page("/mcp", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+l.server.URL+prmPath+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	l.server.page(prmPath, document(l.resourceMetadata()))
	l.provider.page(asMetadataPath, document(l.metadata()))
	l.provider.page("/register", document(object{"client_id": "dynamic-1", "client_secret": "s/1+%"}))
	l.provider.page("/token", document(object{"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1", "expires_in": 3600}))

	cfg := Config{Issuer: testIssuer, ClientName: "The Gate", Servers: []Server{{
		ID: "notion", Title: "Notion", URL: l.server.URL + "/mcp", Mode: PerUserOAuth,
	}}}
	for _, f := range change {
		f(&cfg, &cfg.Servers[0])
	}
	l.Broker = New(cfg, l.deps(egress.New(egress.Options{Loopback: true})))
	return l
}

func (l *lab) deps(guard *egress.Client) Deps {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		l.t.Fatal(err)
	}
	return Deps{
		Store: l.store, Keys: keys, Egress: guard, Operator: egress.New(egress.Options{Anywhere: true}),
		Shared: NewShared(), Logger: zap.NewNop(), Now: func() time.Time { return l.now },
	}
}

func (l *lab) resourceMetadata() object {
	return object{"resource": l.server.URL + "/mcp", "authorization_servers": []string{l.provider.URL}}
}

func (l *lab) metadata() object {
	return object{
		"issuer":                                l.provider.URL,
		"authorization_endpoint":                l.provider.URL + "/authorize",
		"token_endpoint":                        l.provider.URL + "/token",
		"registration_endpoint":                 l.provider.URL + "/register",
		"response_types_supported":              []string{"code"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthNone},
	}
}

// with returns the metadata with one member changed; nil removes it.
func with(m object, name string, value any) object {
	if value == nil {
		delete(m, name)
		return m
	}
	m[name] = value
	return m
}

func (l *lab) request() ConnectRequest {
	return ConnectRequest{Server: "notion", Owner: testOwner, Browser: testBrowser, ReturnTo: "/oauth/account"}
}

// inFlow makes somebody the person of a pending flow.
func (l *lab) inFlow(id string, who storage.Identity) storage.Authentication {
	l.t.Helper()
	verdict, err := l.store.SaveFlow(l.t.Context(), storage.Flow{ID: id, Issuer: testIssuer, Identity: who, ExpiresAt: l.now.Add(time.Hour)}, l.now)
	if err != nil || verdict != storage.OK {
		l.t.Fatal(verdict, err)
	}
	return storage.Authentication{Identity: who, FlowID: id}
}

// start starts a request and returns the parameters of the authorization request.
func (l *lab) start(t ConnectRequest) url.Values {
	l.t.Helper()
	to, err := l.Start(l.t.Context(), t)
	if err != nil {
		l.t.Fatal("Begin:", err)
	}
	u, err := url.Parse(to)
	if err != nil {
		l.t.Fatal(err)
	}
	if !strings.HasPrefix(to, l.provider.URL+"/authorize?") {
		l.t.Errorf("the browser is sent to %s", to)
	}
	return u.Query()
}

// answerTo is what an honest provider sends back.
func (l *lab) answerTo(request url.Values) Answer {
	return Answer{
		State: request.Get("state"), Code: "code-1", Browser: testBrowser,
		Path:    strings.TrimPrefix(request.Get("redirect_uri"), testIssuer),
		Present: func(storage.Authentication, string) error { return nil },
	}
}

// connect makes a whole request.
func (l *lab) connect() url.Values {
	l.t.Helper()
	request := l.start(l.request())
	if _, err := l.Finish(l.t.Context(), l.answerTo(request)); err != nil {
		l.t.Fatal("Finish:", err)
	}
	return request
}

func (l *lab) connection() (storage.Connection, secrets) {
	l.t.Helper()
	c, err := l.store.Store.Connection(l.t.Context(), l.key(testOwner, &l.cfg.Servers[0]), l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := l.openSecrets(c)
	if err != nil {
		l.t.Fatal(err)
	}
	return c, s
}

// connections returns everybody's.
func (l *lab) connections() []storage.Connection {
	l.t.Helper()
	all, err := l.store.ConnectionsOf(l.t.Context(), testIssuer, "", l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

func problemOf(err error) Problem {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Problem
}

func wantProblem(t *testing.T, err error, want Problem) {
	t.Helper()
	if got := problemOf(err); got != want {
		t.Errorf("problem %q (%v), want %q", got, err, want)
	}
}
