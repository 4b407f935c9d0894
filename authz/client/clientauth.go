package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Credentials are what we are at a provider.
type Credentials struct {
	ID         string `json:"id"`
	Secret     string `json:"secret,omitempty"`
	AuthMethod string `json:"auth_method"`
}

// ConfiguredCredentials returns what we are at a provider that the operator
// registered us with, and that supports these ways to authenticate. The way is
// decided once and then kept: trying another one after a refusal would send a
// code or a refresh token twice.
func (p Profile) ConfiguredCredentials(id, secret string, supported []string) *Credentials {
	c := &Credentials{ID: id, Secret: secret, AuthMethod: oauth.AuthSecretBasic} // the default of RFC 8414 section 2
	switch {
	case p.AuthMethod != "":
		c.AuthMethod = p.AuthMethod
	case secret == "":
		c.AuthMethod = oauth.AuthNone
	case slices.Contains(supported, oauth.AuthSecretPost) && !slices.Contains(supported, oauth.AuthSecretBasic):
		c.AuthMethod = oauth.AuthSecretPost
	}
	return c
}

// authenticate adds the client to a request to its provider (RFC 6749 section
// 2.3, RFC 7523 section 2.2).
func (p Profile) authenticate(issuer string, as Credentials, now time.Time, header http.Header, form url.Values) error {
	switch as.AuthMethod {
	case oauth.AuthSecretBasic:
		// Both are encoded as a form before they are joined (section 2.3.1).
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(as.ID), url.QueryEscape(as.Secret))
		return nil
	case oauth.AuthSecretPost:
		form.Set("client_secret", as.Secret)
	case oauth.AuthPrivateKeyJWT:
		assertion, err := p.assertion(as.ID, issuer, now)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", oauth.JWTBearerAssertion)
		form.Set("client_assertion", assertion)
	}
	form.Set("client_id", as.ID)
	return nil
}

// assertionLifetime is short: an assertion is made for one request.
const assertionLifetime = time.Minute

// assertion proves to a provider that we are the client (RFC 7523 section 3).
// Its audience is the issuer alone, so that what one provider receives is worth
// nothing at another.
func (p Profile) assertion(clientID, issuer string, now time.Time) (string, error) {
	key := p.assertionKeys()[0]
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: keyID(key)}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		ID        string `json:"jti"`
		IssuedAt  int64  `json:"iat"`
		ExpiresAt int64  `json:"exp"`
	}{clientID, clientID, issuer, rand.Text(), now.Unix(), now.Add(assertionLifetime).Unix()})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// PublicKeys returns what verifies our assertions.
func (p Profile) PublicKeys() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, key := range p.assertionKeys() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: keyID(key), Algorithm: string(jose.ES256), Use: "sig"})
	}
	return set
}

// assertionKeys derives the P-256 keys: signed with the first.
func (p Profile) assertionKeys() []*ecdsa.PrivateKey {
	var keys []*ecdsa.PrivateKey
	for _, scalar := range p.AssertionSeeds() {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
		for err != nil { // not below the order of the group: once in four billion
			scalar = sha256.Sum256(scalar[:])
			key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
		}
		keys = append(keys, key)
	}
	return keys
}

// keyID is the thumbprint of the public key (RFC 7638).
func keyID(key *ecdsa.PrivateKey) string {
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // a P-256 key always has one
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}
