package accounts

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// The assertion that one provider receives is of no use at another.
func TestAssertion_K16(t *testing.T) {
	g := newGateway(t, func(cfg *config.Site, s *config.Server) {
		s.Auth.AuthMethod = oauth.AuthPrivateKeyJWT
		cfg.Servers = append(cfg.Servers, &config.Server{ID: "github", Auth: &config.Auth{Mode: config.PerUserOAuth, AuthMethod: s.Auth.AuthMethod}})
	})
	g.provider.Page(asMetadataPath, oauthtest.Document(oauthtest.With(g.metadata(), "client_id_metadata_document_supported", true)))
	g.connect()
	form := g.provider.Requests("/token")[0].Form
	if form.Has("client_secret") || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		t.Fatalf("form %v", form)
	}
	jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	keysOf := func(path string) (set jose.JSONWebKeySet) {
		var m struct {
			JWKS jose.JSONWebKeySet `json:"jwks"`
		}
		if err := json.Unmarshal(g.ClientDocuments()[path], &m); err != nil {
			t.Fatal(err)
		}
		return m.JWKS
	}
	ours := keysOf("/oauth/client/notion")
	key := ours.Key(jws.Signatures[0].Header.KeyID)
	if len(key) != 1 {
		t.Fatal("the key is not in our document")
	}
	payload, err := jws.Verify(key[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	id := testIssuer + "/oauth/client/notion"
	if claims["aud"] != g.provider.URL || claims["iss"] != id || claims["sub"] != id || claims["jti"] == "" ||
		claims["exp"] != float64(g.clock.Now().Add(time.Minute).Unix()) {
		t.Errorf("claims %v", claims)
	}
	if _, err := jws.Verify(keysOf("/oauth/client/github").Keys[0]); !errors.Is(err, jose.ErrCryptoFailure) {
		t.Errorf("two servers share a key: %v, want %v", err, jose.ErrCryptoFailure)
	}
}
