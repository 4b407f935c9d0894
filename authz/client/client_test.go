package client

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Nothing here needs an MCP server: this is how a login elsewhere goes.
func TestLoginWithoutAServer(t *testing.T) {
	l := newLab(t)
	l.provider.Page(asMetadataPath, nil)
	l.provider.Page(oidcPath, oauthtest.Document(l.metadata()))
	c := &Client{
		Name: "identity login", Operator: egress.New(egress.Options{Anywhere: true}), Guarded: egress.New(egress.Options{}),
		Configured: []string{l.provider.URL}, Profile: Profile{RedirectURI: testSite + "/login"}, Now: time.Now,
	}
	m, err := c.Metadata(t.Context(), l.provider.URL)
	if err != nil {
		t.Fatal(err)
	}
	verifier := oauth.NewSecret("")
	request := AuthorizationRequest{ClientID: "gate", RedirectURI: c.Profile.RedirectURI, State: "s", Verifier: verifier, Scopes: []string{"openid"}}
	to, err := request.URL(m.AuthorizationEndpoint, c.Quirks)
	if err != nil || !strings.HasPrefix(to, l.provider.URL+"/authorize?client_id=gate&") {
		t.Fatal(to, err)
	}
	as := c.Profile.ConfiguredCredentials("gate", "hush", m.AuthMethods)
	tokens, err := c.RedeemCode(t.Context(), Endpoint{URL: m.TokenEndpoint, Issuer: m.Issuer}, *as, "code-1", verifier, request.RedirectURI)
	if err != nil || tokens.AccessToken != "at-1" {
		t.Fatal(tokens, err)
	}
	if r := l.provider.Requests("/token")[0]; r.Form.Get("code_verifier") != verifier || r.Header.Get("Authorization") == "" || l.server.Hits() != 0 {
		t.Errorf("asked for tokens with %+v", r)
	}
}
