package accounts

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Whoever agrees to connect a server is shown what Begin then asks for.
func TestRequestedScopes_D3(t *testing.T) {
	challenge := func(g *gateway) {
		g.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+g.server.URL+prmPath+`", scope="challenged"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	}
	for name, tt := range map[string]struct {
		configure func(*config.Site, *config.Server)
		prepare   func(*gateway)
		want      []string
	}{
		"configured": {func(_ *config.Site, s *config.Server) { s.Auth.Scopes = []string{"mine"} }, challenge, []string{"mine"}},
		"challenge":  {nil, challenge, []string{"challenged"}},
		"nothing":    {nil, func(*gateway) {}, nil},
		"and offline": {nil, func(g *gateway) {
			challenge(g)
			g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "scopes_supported", []string{"offline_access"})))
		}, []string{"challenged", "offline_access"}},
		"metadata": {nil, func(g *gateway) {
			g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "scopes_supported", []string{"read", "write"})))
		}, []string{"read", "write"}},
		"unusable": {nil, func(g *gateway) { challenge(g); g.provider.Page(asMetadataPath, nil) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			configure := tt.configure
			if configure == nil {
				configure = func(*config.Site, *config.Server) {}
			}
			g := newGateway(t, configure)
			tt.prepare(g)
			if got := g.RequestedScopes(t.Context(), "notion"); !slices.Equal(got, tt.want) {
				t.Errorf("asks for %q, want %q", got, tt.want)
			}
		})
	}
	g := newGateway(t, func(_ *config.Site, s *config.Server) { s.Auth.Mode = config.PerUserHeaders })
	if got := g.RequestedScopes(t.Context(), "notion"); got != nil || g.RequestedScopes(t.Context(), "slack") != nil || g.server.Hits() > 0 {
		t.Errorf("a server without a provider asks for %q", got)
	}
}

// However many people look, the server is asked once in a while.
func TestRequestedScopesRarely(t *testing.T) {
	g := newGateway(t)
	g.server.Page(prmPath, oauthtest.Document(oauthtest.With(g.server.Metadata(), "scopes_supported", []string{"read"})))
	var everybody sync.WaitGroup
	for range 20 {
		everybody.Go(func() {
			if got := g.RequestedScopes(t.Context(), "notion"); !slices.Equal(got, []string{"read"}) {
				t.Errorf("asks for %q", got)
			}
		})
	}
	everybody.Wait()
	first := len(g.provider.Requests(asMetadataPath))
	g.clock.Advance(scopesTTL - time.Second)
	g.RequestedScopes(t.Context(), "notion")
	if again := len(g.provider.Requests(asMetadataPath)); first != 1 || again != 1 {
		t.Errorf("the provider was asked %d times, then %d", first, again)
	}
	g.clock.Advance(time.Second)
	g.provider.Page(asMetadataPath, nil)
	if got := g.RequestedScopes(t.Context(), "notion"); got != nil {
		t.Errorf("asks for %q", got)
	}
	g.server.Forget()
	g.provider.Page(asMetadataPath, oauthtest.Document(g.metadata()))
	if got := g.RequestedScopes(t.Context(), "notion"); got != nil || g.server.Hits() > 0 {
		t.Error("asked again at once")
	}
	g.clock.Advance(scopesRetry)
	if got := g.RequestedScopes(t.Context(), "notion"); !slices.Equal(got, []string{"read"}) {
		t.Errorf("after a while, asks for %q", got)
	}
}
