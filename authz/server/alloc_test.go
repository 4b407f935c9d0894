package server

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// A call that passes costs no memory while its token is cached.
func TestCheckAllocatesNothing(t *testing.T) {
	f := newGateFixture(t, gateConfig())
	g := f.gate("mcp")
	// A token that is a JWT, as far as a gate with a warm cache looks at it.
	signed := "eyJhbGciOiJFZERTQSIs" + strings.Repeat("x", 1200)
	h := f.store.put(signed, storage.AccessToken{
		Issuer: gateIssuer, Audience: []string{gateIssuer + "/mcp"}, Scope: []string{"mcp:use"},
		Identity: storage.Identity{Kind: string(identity.Anonymous)}, ExpiresAt: f.clock.Now().Add(time.Hour),
	})
	if _, err := lookUp(t.Context(), f.cache, h, f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"token": f.issue(nil), "JWT": signed, "virtual key": "sk-ops"} {
		r := httptest.NewRequest("POST", mcpURL, nil)
		r.Header.Set(authHeader, "Bearer "+token)
		w := httptest.NewRecorder()
		if n := testing.AllocsPerRun(100, func() {
			if g.Check(w, r) == nil {
				t.Fatal("refused")
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
