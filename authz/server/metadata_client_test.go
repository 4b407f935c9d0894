package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// The official Go SDK reads our challenges and documents as a strict client
// does: resource and issuer must be, byte for byte, what it was given.
func TestStrictClientFindsItsWay_AS2_AS4_AS5_RS2_RS3_RS4(t *testing.T) {
	var handler http.Handler
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(site.Close)
	cfg := gateConfig()
	cfg.Issuer = site.URL
	cfg.Servers = []*config.Server{
		{ID: "mcp", Path: "/mcp", Resource: site.URL + "/mcp", Scopes: []string{"mcp:use"}},
		{ID: "root", Path: "/", Resource: site.URL, Scopes: []string{"mcp:use"}},
	}
	f := newGateFixture(t, cfg)
	mux := http.NewServeMux()
	for _, r := range f.as.Routes() {
		mux.Handle(r.Path, r.Handler)
	}
	for path, server := range map[string]string{"/mcp": "mcp", "/mcp/{$}": "mcp", "/{$}": "root"} {
		g := f.gate(server)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { g.Check(w, r) })
	}
	handler = mux
	for _, typed := range []string{"/mcp", "/mcp/", "", "/"} {
		t.Run("typed "+typed, func(t *testing.T) {
			prm := discover(t, site.Client(), site.URL+typed)
			if !slices.Equal(prm.AuthorizationServers, []string{site.URL}) {
				t.Fatalf("authorization servers %q", prm.AuthorizationServers)
			}
			meta, err := auth.GetAuthServerMetadata(context.Background(), prm.AuthorizationServers[0], site.Client())
			if err != nil || meta == nil {
				t.Fatalf("metadata: %v", err)
			}
			if !slices.Equal(meta.CodeChallengeMethodsSupported, []string{"S256"}) || !meta.ClientIDMetadataDocumentSupported {
				t.Errorf("metadata %+v", meta)
			}
		})
	}
}

// discover follows the challenge, and falls back to where the metadata of the
// URL must be.
func discover(t *testing.T, c *http.Client, serverURL string) *oauthex.ProtectedResourceMetadata {
	t.Helper()
	res, err := c.Post(serverURL, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	challenges, err := oauthex.ParseWWWAuthenticate(res.Header.Values("WWW-Authenticate"))
	if err != nil || len(challenges) != 1 || challenges[0].Scheme != "bearer" || challenges[0].Params["scope"] != "mcp:use" {
		t.Fatalf("challenges %v: %v", challenges, err)
	}
	prm, err := oauthex.GetProtectedResourceMetadata(t.Context(), challenges[0].Params["resource_metadata"], serverURL, c)
	if err != nil {
		prm, err = oauthex.GetProtectedResourceMetadata(t.Context(), res.Request.URL.Scheme+"://"+res.Request.URL.Host+
			oauth.ProtectedResourcePath+res.Request.URL.Path, serverURL, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return prm
}
