package accounts

import (
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// An operator moves a server to another provider, where the client has the
// same ID and a secret of its own. What people connected at the old one must
// not take that secret there.
func TestSecretOfAnotherProvider_K15(t *testing.T) {
	for name, move := range map[string]func(*config.Server){
		"endpoints": func(s *config.Server) {
			s.Auth.Issuer, s.Auth.TokenEndpoint = "https://new.example", "https://new.example/token"
		},
		"issuer": func(s *config.Server) {
			s.Auth.Issuer, s.Auth.AuthorizationEndpoint, s.Auth.TokenEndpoint, s.Auth.RevocationEndpoint = "https://new.example", "", "", ""
		},
		"discovery": func(s *config.Server) {
			s.Auth.Issuer, s.Auth.AuthorizationEndpoint, s.Auth.TokenEndpoint, s.Auth.RevocationEndpoint = "", "", "", ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVault(t)
			v.connectAs("alice", "notion")
			v = v.instance()
			v.deps.Egress = egress.New(egress.Options{Loopback: true})
			s := v.servers["notion"]
			s.Auth.ClientID, s.Auth.ClientSecret = "gateway", "of the new provider"
			move(s)
			v.clock.Advance(2 * time.Hour)
			v.wantCall("alice", "notion", "", ErrNeedsReauth)
			v.wantState("alice", "notion", storage.NeedsReauth)
			if n := v.provider.Hits(); n != 0 {
				t.Errorf("the old provider got %d requests, want none", n)
			}
		})
	}
}

// Where the issuer is discovered, the pinned one is the client's.
func TestPinnedProviderRefreshes_K15(t *testing.T) {
	v := newVault(t)
	v.connectAs("alice", "notion")
	v.deps.Egress = egress.New(egress.Options{Loopback: true})
	s := v.servers["notion"]
	s.Auth.Issuer, s.Auth.AuthorizationEndpoint, s.Auth.TokenEndpoint, s.Auth.RevocationEndpoint = "", "", "", ""
	pin := &client.Provider{ServerMetadata: oauth.ServerMetadata{Issuer: v.provider.URL}, Discovered: true}
	if err := v.pinIssuer(t.Context(), s, pin); err != nil {
		t.Fatal(err)
	}
	v.clock.Advance(2 * time.Hour)
	if token, err := v.call("alice", "notion"); err != nil || token == "" {
		t.Errorf("call: %q, %v", token, err)
	}
}
