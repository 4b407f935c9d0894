package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	// skew is how far the provider's clock may be off.
	skew = time.Minute
	// oldest is how long ago an ID token may have been made that comes with a code.
	oldest        = identity.LoginLifetime
	maxIDTokenLen = 60 << 10
	// maxSubject is that of OpenID Connect Core section 2.
	maxSubject = 255
)

// idToken is an ID token that was verified.
type idToken struct {
	tokenClaims
	claims claims // all of them
}

// tokenClaims are those that say something of an ID token, and not of a person.
type tokenClaims struct {
	Subject   string             `json:"sub"`
	Audience  oauth.Strings      `json:"aud"`
	Azp       *string            `json:"azp"`
	Expires   *oauth.NumericDate `json:"exp"`
	Issued    *oauth.NumericDate `json:"iat"`
	NotBefore *oauth.NumericDate `json:"nbf"`
	AuthTime  *oauth.NumericDate `json:"auth_time"`
	Nonce     string             `json:"nonce"`
	ACR       string             `json:"acr"`
	Session   string             `json:"sid"`
}

// keySet lets go-oidc verify by keys that are fetched seldom.
type keySet struct {
	keys       *jwks.Remote
	algorithms []jose.SignatureAlgorithm
	failure    error // why there are no keys
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, k.algorithms)
	if err != nil {
		return nil, err
	}
	payload, err := k.keys.Verify(ctx, jws)
	if err != nil && !errors.Is(err, jwks.ErrSignature) {
		k.failure = err
	}
	return payload, err
}

// verifier returns what verifies signature, algorithm, issuer and audience. Times
// are checked here: go-oidc allows nothing for exp and five minutes for nbf.
func (p *Provider) verifier(at *connected, s *source) (*oidc.IDTokenVerifier, *keySet) {
	keys := &keySet{keys: s.keys}
	for _, alg := range s.signed {
		keys.algorithms = append(keys.algorithms, jose.SignatureAlgorithm(alg))
	}
	return oidc.NewVerifier(s.Issuer, keys, &oidc.Config{
		ClientID: p.o.ClientID, SupportedSigningAlgs: s.signed, SkipExpiryCheck: true, Now: at.client.Now,
	}), keys
}

// verifyIDToken returns an ID token that came with tokens, if it is one (OpenID
// Connect Core section 3.1.3.7). The nonce is for the caller.
func (p *Provider) verifyIDToken(ctx context.Context, at *connected, s *source, tokens *client.Tokens) (*idToken, error) {
	deny := func(cause error) error {
		return p.denyAndWarn(untrusted, fmt.Errorf("the ID token: %w", cause))
	}
	if len(tokens.IDToken) > maxIDTokenLen {
		return nil, deny(fmt.Errorf("longer than %d bytes", maxIDTokenLen))
	}
	verifier, keys := p.verifier(at, s)
	verified, err := verifier.Verify(ctx, tokens.IDToken)
	if keys.failure != nil {
		return nil, &identity.Unavailable{Cause: fmt.Errorf("the keys at %s: %w", client.LoggedURL(s.JWKSURI), keys.failure)}
	}
	if err != nil {
		return nil, deny(withoutQuotes(err))
	}
	token, err := readIDToken(verified)
	if err != nil {
		return nil, deny(err)
	}
	if err := token.check(p.o.ClientID, at.client.Now()); err != nil {
		return nil, deny(err)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, deny(errors.New("it is for another access token (at_hash)"))
		}
	}
	return token, nil
}

// readIDToken reads the payload in the one way that it can be read.
func readIDToken(verified *oidc.IDToken) (*idToken, error) {
	var payload json.RawMessage
	if err := verified.Claims(&payload); err != nil {
		return nil, err
	}
	token := new(idToken)
	if err := strictjson.Unmarshal(payload, maxIDTokenLen, &token.tokenClaims); err != nil {
		return nil, err
	}
	return token, json.Unmarshal(payload, &token.claims)
}

// check applies the rules for the claims that go-oidc leaves to its callers.
func (t *tokenClaims) check(clientID string, now time.Time) error {
	switch {
	case t.Subject == "" || len(t.Subject) > maxSubject:
		return errors.New("its sub is empty or too long")
	case len(t.Audience) > 1 && t.Azp == nil:
		return errors.New("it is for several clients, and does not say for whom it was made (azp)")
	case t.Azp != nil && *t.Azp != clientID:
		return errors.New("it was made for another client (azp)")
	case t.Expires == nil || t.Issued == nil:
		return errors.New("it has no exp or no iat")
	case !now.Before(t.Expires.Time().Add(skew)):
		return fmt.Errorf("it ended %s ago; are the clocks of this machine and the provider right?", now.Sub(t.Expires.Time()).Round(time.Second))
	case t.Issued.Time().After(now.Add(skew)):
		return fmt.Errorf("it is from %s in the future; are the clocks of this machine and the provider right?", t.Issued.Time().Sub(now).Round(time.Second))
	case t.Issued.Time().Before(now.Add(-oldest - skew)):
		return fmt.Errorf("it was made %s ago; are the clocks of this machine and the provider right?", now.Sub(t.Issued.Time()).Round(time.Second))
	case t.NotBefore != nil && t.NotBefore.Time().After(now.Add(skew)):
		return errors.New("it is not good yet (nbf)")
	case t.AuthTime != nil && t.AuthTime.Time().After(now.Add(skew)):
		return errors.New("the person proved who they are in the future (auth_time)")
	}
	return nil
}

// withoutQuotes returns what may be logged of an error of go-oidc: some quote what
// the token says.
func withoutQuotes(err error) error {
	for _, known := range []struct{ part, text string }{
		{"issued by a different provider", "its iss is another issuer's"},
		{"expected audience", "it is for another client (aud)"},
		{"expected logout token audience", "it is for another client (aud)"},
		{"missing required http", "its events have no back-channel logout"},
		{"must not contain a 'nonce'", "it has a nonce, as ID tokens do"},
		{"required claim 'jti'", "it has no jti"},
		{"must contain an 'exp'", "it has no exp"},
		{"must contain a 'sub'", "it has neither sub nor sid"},
		{"unexpected signature algorithm", "it is signed with an algorithm that is not accepted, or not at all"},
		{"failed to verify signature", "it is signed by none of the provider's keys"},
		{"malformed jwt", "it is no signed JWT"},
	} {
		if strings.Contains(err.Error(), known.part) {
			return errors.New(known.text)
		}
	}
	return errors.New("it is malformed")
}
