package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/clients"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// signer is a client that authenticates by a key.
type signer struct {
	*testServer
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &signer{newTestServer(t, func(c *siteConfig) {
		c.Clients = append(c.Clients, clients.Client{ID: "signer", Origin: clients.Preregistered, Metadata: oauth.ClientMetadata{
			RedirectURIs: []string{testRedirect}, TokenEndpointAuthMethod: oauth.AuthPrivateKeyJWT, ResponseTypes: []string{"code"}, JWKS: set,
			GrantTypes: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		}})
	}), key}
}

// assertion is what proves once who it is.
func (s *signer) assertion() string {
	s.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: "1"}}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "signer", "sub": "signer", "aud": testIssuer, "jti": rand.Text(), "exp": s.clock.Now().Add(time.Minute).Unix(),
	}).Serialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// with is a form with an assertion.
func (s *signer) with(assertion string, form url.Values) url.Values {
	return with(form, "client_assertion_type", oauth.JWTBearerAssertion, "client_assertion", assertion)
}

func (s *signer) wantUsed(got reply) {
	s.t.Helper()
	s.want(got, http.StatusUnauthorized, "invalid_client")
	s.clock.Advance(20 * time.Second) // each is counted as a wrong one
}

// An assertion is good for one request at the token endpoint, whatever that comes to,
// and whichever endpoint sees it next. One that was used before changes nothing.
func TestAssertionAtTokenEndpoint_C08(t *testing.T) {
	s := newSigner(t)
	refusals := map[string]url.Values{
		"no code":           redemption(""),
		"a malformed code":  redemption("x"),
		"an unknown code":   redemption(oauth.NewSecret("mcpac_")),
		"another's code":    redemption(s.code()),
		"a wrong audience":  redemption(s.code("client_id", "signer"), "resource", "https://other.example"),
		"a wrong verifier":  redemption(s.code("client_id", "signer"), "code_verifier", testVerifier+"x"),
		"no refresh token":  {"grant_type": {"refresh_token"}},
		"an unknown token":  {"grant_type": {"refresh_token"}, "refresh_token": {oauth.NewSecret("mcprt_")}},
		"another's refresh": {"grant_type": {"refresh_token"}, "refresh_token": {s.signedIn().Refresh}},
	}
	for name, form := range refusals {
		t.Run(name, func(t *testing.T) {
			proof := s.assertion()
			first := s.post(TokenPath, "signer", s.with(proof, form))
			if first.status != http.StatusBadRequest {
				t.Errorf("status %d, want 400: %s", first.status, first.body)
			}
			s.wantUsed(s.post(TokenPath, "signer", s.with(proof, redemption(s.code("client_id", "signer")))))
		})
	}
	proof := s.assertion()
	tokens := s.post(TokenPath, "signer", s.with(proof, redemption(s.code("client_id", "signer"))))
	s.want(tokens, http.StatusOK, "")
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}}
	s.wantUsed(s.post(TokenPath, "signer", s.with(proof, refresh)))
	s.wantUsed(s.post(revokePath, "signer", s.with(proof, url.Values{"token": {tokens.Refresh}})))
	again := s.assertion()
	next := s.post(TokenPath, "signer", s.with(again, refresh))
	s.want(next, http.StatusOK, "")
	s.wantUsed(s.post(TokenPath, "signer", s.with(again, refresh))) // and so it is no replay of the token
	if !s.live(next.Access) {
		t.Error("who replays an assertion ends the grant")
	}
	last := s.assertion()
	s.want(s.post(revokePath, "signer", s.with(last, url.Values{"token": {oauth.NewSecret("mcprt_")}})), http.StatusOK, "")
	s.wantUsed(s.post(TokenPath, "signer", s.with(last, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {next.Refresh}})))
}
