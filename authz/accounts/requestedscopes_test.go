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
	challenge := func(l *lab) {
		l.server.Page("/mcp", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+l.server.URL+prmPath+`", scope="challenged"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	}
	for name, tt := range map[string]struct {
		configure func(*config.Site, *config.Server)
		prepare   func(*lab)
		want      []string
	}{
		"configured": {func(_ *config.Site, s *config.Server) { s.Auth.Scopes = []string{"mine"} }, challenge, []string{"mine"}},
		"challenge":  {nil, challenge, []string{"challenged"}},
		"nothing":    {nil, func(*lab) {}, nil},
		"and offline": {nil, func(l *lab) {
			challenge(l)
			l.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(l.metadata(), "scopes_supported", []string{"offline_access"})))
		}, []string{"challenged", "offline_access"}},
		"metadata": {nil, func(l *lab) {
			l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "scopes_supported", []string{"read", "write"})))
		}, []string{"read", "write"}},
		"unusable": {nil, func(l *lab) { challenge(l); l.provider.Page(asMetadataPath, nil) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			configure := tt.configure
			if configure == nil {
				configure = func(*config.Site, *config.Server) {}
			}
			l := newLab(t, configure)
			tt.prepare(l)
			if got := l.RequestedScopes(t.Context(), "notion"); !slices.Equal(got, tt.want) {
				t.Errorf("asks for %q, want %q", got, tt.want)
			}
		})
	}
	l := newLab(t, func(_ *config.Site, s *config.Server) { s.Auth.Mode = config.PerUserHeaders })
	if got := l.RequestedScopes(t.Context(), "notion"); got != nil || l.RequestedScopes(t.Context(), "slack") != nil || l.server.Hits() > 0 {
		t.Errorf("a server without a provider asks for %q", got)
	}
}

// However many people look, the server is asked once in a while.
func TestRequestedScopesRarely(t *testing.T) {
	l := newLab(t)
	l.server.Page(prmPath, oauthtest.Document(oauthtest.With(l.resourceMetadata(), "scopes_supported", []string{"read"})))
	var everybody sync.WaitGroup
	for range 20 {
		everybody.Go(func() {
			if got := l.RequestedScopes(t.Context(), "notion"); !slices.Equal(got, []string{"read"}) {
				t.Errorf("asks for %q", got)
			}
		})
	}
	everybody.Wait()
	first := len(l.provider.Requests(asMetadataPath))
	l.now = l.now.Add(scopesTTL - time.Second)
	l.RequestedScopes(t.Context(), "notion")
	if again := len(l.provider.Requests(asMetadataPath)); first != 1 || again != 1 {
		t.Errorf("the provider was asked %d times, then %d", first, again)
	}
	l.now = l.now.Add(time.Second)
	l.provider.Page(asMetadataPath, nil)
	if got := l.RequestedScopes(t.Context(), "notion"); got != nil {
		t.Errorf("asks for %q", got)
	}
	l.server.Forget()
	l.provider.Page(asMetadataPath, oauthtest.Document(l.metadata()))
	if got := l.RequestedScopes(t.Context(), "notion"); got != nil || l.server.Hits() > 0 {
		t.Error("asked again at once")
	}
	l.now = l.now.Add(scopesRetry)
	if got := l.RequestedScopes(t.Context(), "notion"); !slices.Equal(got, []string{"read"}) {
		t.Errorf("after a while, asks for %q", got)
	}
}
