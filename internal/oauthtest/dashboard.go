package oauthtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Dashboard is a web application that signs people in, and vouches for them with
// JWTs. It has no pages.
type Dashboard struct {
	Issuer, Audience string
	Now              func() time.Time

	key jose.JSONWebKey
}

// NewDashboard returns a dashboard with a key of its own.
func NewDashboard(t testing.TB, issuer, audience string) *Dashboard {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Dashboard{Issuer: issuer, Audience: audience, Now: time.Now, key: jose.JSONWebKey{Key: key, KeyID: rand.Text()}}
}

// Keys returns its public keys, of which there is one.
func (d *Dashboard) Keys() []jose.JSONWebKey { return []jose.JSONWebKey{d.key.Public()} }

// KeySet returns its public keys as they are published.
func (d *Dashboard) KeySet(t testing.TB) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: d.Keys()})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Token returns a JWT about a person, good for five minutes. Claims replace those
// that it would have; one that is nil is left out.
func (d *Dashboard) Token(t testing.TB, subject string, claims map[string]any) string {
	t.Helper()
	return d.TokenOfType(t, "JWT", subject, claims)
}

// TokenOfType is Token with another typ.
func (d *Dashboard) TokenOfType(t testing.TB, typ, subject string, claims map[string]any) string {
	t.Helper()
	now := d.Now()
	all := map[string]any{
		"iss": d.Issuer, "aud": d.Audience, "sub": subject, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	options := new(jose.SignerOptions).WithType(jose.ContentType(typ))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: d.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
