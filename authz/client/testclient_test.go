package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	asMetadataPath = oauth.AuthorizationServerPath
	oidcPath       = oauth.OpenIDConfigurationPath
	prmPath        = oauth.ProtectedResourcePath + "/mcp"
	testSite       = "https://gate.example"
)

// testClient is an MCP server, its provider, and a client of both.
type testClient struct {
	*Client
	t        *testing.T
	resource Resource
	clock    *oauthtest.Clock
	server   *oauthtest.MCPServer
	provider *oauthtest.Provider
}

func newTestClient(t *testing.T) *testClient {
	t.Helper()
	p := oauthtest.NewProvider(t)
	tc := &testClient{t: t, clock: oauthtest.NewClock(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)), server: oauthtest.NewMCPServer(t, p), provider: p}
	tc.challenge(tc.server.Challenge())
	tc.server.Page(prmPath, oauthtest.Document(tc.server.Metadata()))
	tc.provider.Page(asMetadataPath, oauthtest.Document(tc.metadata()))
	tc.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-1", "client_secret": "s/1+%"}))
	tc.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer"}))

	tc.resource = Resource{URL: tc.server.URL + "/mcp", Identifier: tc.server.URL + "/mcp"}
	tc.Client = &Client{
		Name:       "server notion",
		Guarded:    egress.New(egress.Options{Loopback: true}),
		Operator:   egress.New(egress.Options{Anywhere: true}),
		Configured: []string{tc.resource.URL},
		Profile: Profile{
			Site: testSite, Name: "The Gate", RedirectURI: testSite + "/api/oauth/callback/notion", DocumentID: testSite + "/oauth/client/notion",
		},
		Now: tc.clock.Now,
	}
	return tc
}

// inProduction reaches nothing but the public internet and the server, where the
// provider lives with it, so that what a test is about can be reached.
func (tc *testClient) inProduction() {
	tc.provider.Host = tc.server.Host
	tc.server.Page(prmPath, oauthtest.Document(tc.server.Metadata()))
	tc.server.Page(asMetadataPath, oauthtest.Document(tc.metadata()))
	tc.Guarded = egress.New(egress.Options{})
}

// metadata is the provider's, which takes nothing back.
func (tc *testClient) metadata() oauthtest.Object {
	return oauthtest.With(tc.provider.Metadata(), "revocation_endpoint", nil)
}

// challenge has the server ask for credentials with one.
func (tc *testClient) challenge(value string) {
	tc.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
		if value != "" {
			w.Header().Set("WWW-Authenticate", value)
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// find finds the provider of the server.
func (tc *testClient) find() (*Provider, error) { return tc.Discover(tc.t.Context(), tc.resource) }

// found is find where it must not fail.
func (tc *testClient) found() *Provider {
	tc.t.Helper()
	p, err := tc.find()
	if err != nil {
		tc.t.Fatalf("Discover: %v, want a provider", err)
	}
	return p
}

// redeem registers at the provider, and exchanges a code there.
func (tc *testClient) redeem(p *Provider) (*Tokens, error) {
	r, err := tc.Register(tc.t.Context(), p)
	if err != nil {
		return nil, err
	}
	at := Endpoint{URL: p.TokenEndpoint, Issuer: p.Issuer, Resource: p.Resource}
	return tc.RedeemCode(tc.t.Context(), at, r.Credentials, "code-1", oauth.NewSecret(""), r.RedirectURI)
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
