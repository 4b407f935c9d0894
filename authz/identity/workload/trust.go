package workload

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// spiffeScheme starts the trust domains of SPIFFE, whose tokens name no issuer.
const spiffeScheme = "spiffe://"

// DefaultNameClaim is what tells one workload from another.
const DefaultNameClaim = "sub"

// Trust is whose word is taken, for which programs, and what they may do.
type Trust struct {
	// Name tells the trust from others, in the subjects of its service persons.
	Name string
	// Issuer is what tokens have as iss or, where it begins with spiffe://, the trust
	// domain of their sub.
	Issuer string
	// Audience must be among those of a token.
	Audience string
	// Keys or JWKSURI are what tokens are verified with; without either, the keys that
	// the metadata of the issuer names.
	Keys    []jose.JSONWebKey
	JWKSURI string
	// RootCAs, unless nil, are what the hosts of issuer and keys are trusted by.
	RootCAs *x509.CertPool
	// Rules choose whom it is about.
	Rules *Rules
	// NameClaim is the claim that tells one service person from another.
	NameClaim string
	// MaxAge is how long ago a token may have been made.
	MaxAge time.Duration
	// Servers are the ids of the MCP servers that they may use; none means all.
	Servers []string
	// Lifetime is that of the access tokens they get.
	Lifetime time.Duration
}

func (t *Trust) isSPIFFE() bool { return strings.HasPrefix(t.Issuer, spiffeScheme) }

// Kind is that of its service persons.
func (t *Trust) Kind() identity.Kind { return identity.Workload + ":" + identity.Kind(t.Name) }

// proof is that of all its identities: it changes with whatever they rest on.
func (t *Trust) proof() string {
	rests := []string{t.Issuer, t.Audience, t.JWKSURI, t.Rules.String(), t.NameClaim}
	for i := range t.Keys {
		if print, err := t.Keys[i].Thumbprint(crypto.SHA256); err == nil {
			rests = append(rests, string(print))
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(rests, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// identityOf returns the service person of a name.
func (t *Trust) identityOf(name string) storage.Identity {
	kind := string(t.Kind())
	return storage.Identity{Kind: kind, Subject: kind + ":" + name, Name: name, Proof: t.proof()}
}

// Method is what holds for its service persons.
func (t *Trust) Method() identity.Method {
	m := identity.ServiceMethod(t.Kind(), "workload of "+t.Name, func(storage.Identity) bool { return true }, func(storage.Identity) []string { return t.Servers })
	m.SharedProof, m.Provider = t.proof(), t.Issuer
	m.Named = func(subject string) (storage.Identity, bool) {
		name, ok := strings.CutPrefix(subject, string(t.Kind())+":")
		return t.identityOf(name), ok && isName(name)
	}
	m.Basis = strings.Join(slices.Sorted(slices.Values(t.Servers)), " ")
	return m
}

// keyRules say which keys issuers may have, and which algorithms tokens: all
// asymmetric, so that no public key is taken for a shared secret.
var keyRules = jwks.Rules{
	Algorithms: []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
	},
	MaxLen: 256 << 10, MaxKeys: 100,
	Uses: []string{"jwt-svid"}, // SPIFFE Trust Domain and Bundle, section 4.2.2
}

// ParseKeys reads the public keys of an issuer: a JWK set.
func ParseKeys(text string) ([]jose.JSONWebKey, error) { return keyRules.Parse([]byte(text)) }

// CheckTrustDomain reports what is wrong with the issuer of a trust that begins with
// spiffe://, if it does.
func CheckTrustDomain(issuer string) error {
	domain, ok := strings.CutPrefix(issuer, spiffeScheme)
	if ok && (domain == "" || len(domain) > 255 || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "") {
		return fmt.Errorf("%q is not a trust domain; write it as spiffe://example.org, without a path", issuer)
	}
	return nil
}

// IsTrustDomain reports whether an issuer is a trust domain of SPIFFE.
func IsTrustDomain(issuer string) bool { return strings.HasPrefix(issuer, spiffeScheme) }
