package accounts

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	server   *oauthtest.Host
	provider *oauthtest.Host
}

// testSite returns the configuration of a site with the servers.
func testSite(servers ...*config.Server) *config.Site {
	return &config.Site{Issuer: testIssuer, Branding: &config.Branding{Name: "The Gate"}, Servers: servers}
}

// newLab returns the lab for one server called notion, with changes.
func newLab(t *testing.T, change ...func(*config.Site, *config.Server)) *lab {
	t.Helper()
	l := &lab{t: t, store: newLabStore(), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), server: oauthtest.NewHost(t), provider: oauthtest.NewHost(t)}
	l.server.Page("/mcp", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+l.server.URL+prmPath+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	l.server.Page(prmPath, oauthtest.Document(l.resourceMetadata()))
	l.provider.Page(asMetadataPath, oauthtest.Document(l.metadata()))
	l.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-1", "client_secret": "s/1+%"}))
	l.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1", "expires_in": 3600}))

	cfg := testSite(&config.Server{ID: "notion", Title: "Notion", Upstream: l.server.URL + "/mcp", Auth: &config.Auth{Mode: config.PerUserOAuth}})
	for _, f := range change {
		f(cfg, cfg.Servers[0])
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

func (l *lab) resourceMetadata() oauthtest.Object {
	return oauthtest.Object{"resource": l.server.URL + "/mcp", "authorization_servers": []string{l.provider.URL}}
}

func (l *lab) metadata() oauthtest.Object {
	return oauthtest.Object{
		"issuer":                                l.provider.URL,
		"authorization_endpoint":                l.provider.URL + "/authorize",
		"token_endpoint":                        l.provider.URL + "/token",
		"registration_endpoint":                 l.provider.URL + "/register",
		"response_types_supported":              []string{"code"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthNone},
	}
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
	c, err := l.store.Store.Connection(l.t.Context(), l.key(testOwner, l.cfg.Servers[0]), l.now)
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
