package accounts

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
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

// gateway is a gate, an upstream MCP server and its provider.
type gateway struct {
	*Broker
	t        *testing.T
	store    *recordingStore
	clock    *oauthtest.Clock
	server   *oauthtest.MCPServer
	provider *oauthtest.Provider
}

// testSite returns the configuration of a site with the servers.
func testSite(servers ...*config.Server) *config.Site {
	return &config.Site{Issuer: testIssuer, Branding: &config.Branding{Name: "The Gate"}, Servers: servers}
}

// newGateway returns one for one server called notion, with changes.
func newGateway(t *testing.T, change ...func(*config.Site, *config.Server)) *gateway {
	t.Helper()
	p := oauthtest.NewProvider(t)
	g := &gateway{t: t, store: newRecordingStore(), clock: oauthtest.NewClock(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)), server: oauthtest.NewMCPServer(t, p), provider: p}
	g.challenge(g.server.Challenge())
	g.server.Page(prmPath, oauthtest.Document(g.server.Metadata()))
	g.provider.Page(asMetadataPath, oauthtest.Document(g.metadata()))
	g.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-1", "client_secret": "s/1+%"}))
	g.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer", "refresh_token": "rt-1", "expires_in": 3600}))

	cfg := testSite(&config.Server{ID: "notion", Title: "Notion", Upstream: g.server.URL + "/mcp", Auth: &config.Auth{Mode: config.PerUserOAuth}})
	for _, f := range change {
		f(cfg, cfg.Servers[0])
	}
	g.Broker = New(cfg, g.newDeps(egress.New(egress.Options{Loopback: true})))
	return g
}

func (g *gateway) newDeps(guard *egress.Client) Deps {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		g.t.Fatal(err)
	}
	return Deps{
		Store: g.store, Keys: keys, Egress: guard, Operator: egress.New(egress.Options{Anywhere: true}),
		Shared: NewShared(), Now: g.clock.Now,
	}
}

// metadata is the provider's, which takes tokens back only where a test says so.
func (g *gateway) metadata() oauthtest.Object {
	return oauthtest.With(g.provider.Metadata(), "revocation_endpoint", nil)
}

func (g *gateway) request() ConnectRequest {
	return ConnectRequest{Server: "notion", Owner: testOwner, Browser: testBrowser, ReturnTo: "/oauth/account"}
}

// inFlow makes somebody the person of a pending flow.
func (g *gateway) inFlow(id string, who storage.Identity) storage.Authentication {
	g.t.Helper()
	verdict, err := g.store.SaveFlow(g.t.Context(), storage.Flow{ID: id, Issuer: testIssuer, Identity: who, ExpiresAt: g.clock.Now().Add(time.Hour)}, g.clock.Now())
	if err != nil || verdict != storage.OK {
		g.t.Fatalf("SaveFlow: %v, %v; want OK", verdict, err)
	}
	return storage.Authentication{Identity: who, FlowID: id}
}

// start starts a request and returns the parameters of the authorization request.
func (g *gateway) start(t ConnectRequest) url.Values {
	g.t.Helper()
	to, err := g.Start(g.t.Context(), t)
	if err != nil {
		g.t.Fatal("Start:", err)
	}
	u, err := url.Parse(to)
	if err != nil {
		g.t.Fatal(err)
	}
	if !strings.HasPrefix(to, g.provider.URL+"/authorize?") {
		g.t.Errorf("the browser is sent to %s, want the provider's %s", to, g.provider.URL+"/authorize")
	}
	return u.Query()
}

// answerTo is what an honest provider sends back.
func (g *gateway) answerTo(request url.Values) Answer {
	return Answer{
		State: request.Get("state"), Code: "code-1", Browser: testBrowser,
		Path:    strings.TrimPrefix(request.Get("redirect_uri"), testIssuer),
		Present: func(storage.Authentication, string) error { return nil },
	}
}

// connect makes a whole request.
func (g *gateway) connect() url.Values {
	g.t.Helper()
	request := g.start(g.request())
	if _, err := g.Finish(g.t.Context(), g.answerTo(request)); err != nil {
		g.t.Fatal("Finish:", err)
	}
	return request
}

func (g *gateway) connection() (storage.Connection, secrets) {
	g.t.Helper()
	c, err := g.store.Store.Connection(g.t.Context(), g.key(testOwner, g.cfg.Servers[0]), g.clock.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	s, err := g.openSecrets(c)
	if err != nil {
		g.t.Fatal(err)
	}
	return c, s
}

// connections returns everybody's.
func (g *gateway) connections() []storage.Connection {
	g.t.Helper()
	all, err := g.store.ConnectionsOf(g.t.Context(), testIssuer, "", g.clock.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	return all
}

func problemOf(err error) client.Problem {
	var e *client.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Problem
}

func wantProblem(t *testing.T, err error, want client.Problem) {
	t.Helper()
	if got := problemOf(err); got != want {
		t.Errorf("problem %q (%v), want %q", got, err, want)
	}
}
