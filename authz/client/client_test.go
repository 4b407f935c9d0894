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
	tc := newTestClient(t)
	tc.provider.Page(asMetadataPath, nil)
	tc.provider.Page(oidcPath, oauthtest.Document(tc.metadata()))
	c := &Client{
		Name: "identity login", Operator: egress.New(egress.Options{Anywhere: true}), Guarded: egress.New(egress.Options{}),
		Configured: []string{tc.provider.URL}, Profile: Profile{RedirectURI: testSite + "/login"}, Now: time.Now,
	}
	m, err := c.metadataOf(t.Context(), tc.provider.URL)
	if err != nil {
		t.Fatal(err)
	}
	verifier := oauth.NewSecret("")
	request := AuthorizationRequest{ClientID: "gate", RedirectURI: c.Profile.RedirectURI, State: "s", Verifier: verifier, Scopes: []string{"openid"}}
	to, err := request.URL(m.AuthorizationEndpoint, c.Quirks)
	if err != nil || !strings.HasPrefix(to, tc.provider.URL+"/authorize?client_id=gate&") {
		t.Fatalf("the authorization request is %q, %v; want one to %s", to, err, tc.provider.URL)
	}
	as := c.Profile.ConfiguredCredentials("gate", "hush", m.AuthMethods)
	tokens, err := c.RedeemCode(t.Context(), Endpoint{URL: m.TokenEndpoint, Issuer: m.Issuer}, *as, "code-1", verifier, request.RedirectURI)
	if err != nil || tokens.AccessToken != "at-1" {
		t.Fatalf("RedeemCode: %+v, %v; want at-1", tokens, err)
	}
	if r := tc.provider.Requests("/token")[0]; r.Form.Get("code_verifier") != verifier || r.Header.Get("Authorization") == "" || tc.server.Hits() != 0 {
		t.Errorf("asked for tokens with %+v", r)
	}
}
