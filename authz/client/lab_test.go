package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	asMetadataPath = oauth.AuthorizationServerPath
	oidcPath       = oauth.OpenIDConfigurationPath
	prmPath        = oauth.ProtectedResourcePath + "/mcp"
	testSite       = "https://gate.example"
)

// lab is an MCP server, its provider, and a client of both.
type lab struct {
	*Client
	t        *testing.T
	resource Resource
	now      time.Time
	server   *oauthtest.Host
	provider *oauthtest.Host
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), server: oauthtest.NewHost(t), provider: oauthtest.NewHost(t)}
	l.challenge(`Bearer resource_metadata="` + l.server.URL + prmPath + `"`)
	l.server.Page(prmPath, oauthtest.Document(l.resourceMetadata()))
	l.provider.Page(asMetadataPath, oauthtest.Document(l.metadata()))
	l.provider.Page("/register", oauthtest.Document(oauthtest.Object{"client_id": "dynamic-1", "client_secret": "s/1+%"}))
	l.provider.Page("/token", oauthtest.Document(oauthtest.Object{"access_token": "at-1", "token_type": "Bearer"}))

	l.resource = Resource{URL: l.server.URL + "/mcp", Identifier: l.server.URL + "/mcp"}
	l.Client = &Client{
		Name:       "server notion",
		Guarded:    egress.New(egress.Options{Loopback: true}),
		Operator:   egress.New(egress.Options{Anywhere: true}),
		Configured: []string{l.resource.URL},
		Profile: Profile{
			Site: testSite, Name: "The Gate", RedirectURI: testSite + "/api/oauth/callback/notion", DocumentID: testSite + "/oauth/client/notion",
		},
		Now: func() time.Time { return l.now },
	}
	return l
}

// inProduction reaches nothing but the public internet and the server, where the
// provider lives with it, so that what a test is about can be reached.
func (l *lab) inProduction() {
	l.provider = l.server
	l.server.Page(prmPath, oauthtest.Document(l.resourceMetadata()))
	l.server.Page(asMetadataPath, oauthtest.Document(l.metadata()))
	l.Guarded = egress.New(egress.Options{})
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
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthNone},
	}
}

// challenge has the server ask for credentials with one.
func (l *lab) challenge(value string) {
	l.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
		if value != "" {
			w.Header().Set("WWW-Authenticate", value)
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// find finds the provider of the server.
func (l *lab) find() (*Provider, error) { return l.Discover(l.t.Context(), l.resource) }

// found is find where it must not fail.
func (l *lab) found() *Provider {
	l.t.Helper()
	p, err := l.find()
	if err != nil {
		l.t.Fatal("Discover:", err)
	}
	return p
}

// redeem registers at the provider, and exchanges a code there.
func (l *lab) redeem(p *Provider) (*Tokens, error) {
	r, err := l.Register(l.t.Context(), p)
	if err != nil {
		return nil, err
	}
	at := Endpoint{URL: p.TokenEndpoint, Issuer: p.Issuer, Resource: p.Resource}
	return l.RedeemCode(l.t.Context(), at, r.Credentials, "code-1", oauth.NewSecret(""), r.RedirectURI)
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
