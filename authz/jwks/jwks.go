package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	minRSABits = 2048
	maxRSABits = 8192 // larger ones cost more to verify than they are worth
)

// ErrSignature is the error for what none of the keys has signed.
var ErrSignature = errors.New("signed by none of the keys")

// Rules say which sets are read, and which of their keys are used.
type Rules struct {
	// Algorithms are those that a signature may have, all of them asymmetric: a
	// public key can then never be replayed as a shared secret.
	Algorithms []jose.SignatureAlgorithm
	// MaxLen and MaxKeys bound a set.
	MaxLen, MaxKeys int
	// Uses are those that a key may have besides sig (RFC 7517 section 4.2).
	Uses []string
}

// Parse reads a JWK set (RFC 7517 section 5) and keeps the keys that can verify
// something. Keys of other kinds are skipped; private or symmetric keys make the
// set invalid, for they are no longer secret.
func (r Rules) Parse(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(data, r.MaxLen, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > r.MaxKeys {
		return nil, errors.New("too many keys")
	}
	var usable []jose.JSONWebKey
	for _, raw := range set.Keys {
		var private struct {
			D, P, Q, K, Priv json.RawMessage
		}
		if err := json.Unmarshal(raw, &private); err != nil {
			return nil, errors.New("key is not an object")
		}
		if private.D != nil || private.P != nil || private.Q != nil || private.K != nil || private.Priv != nil {
			return nil, errors.New("key is not public")
		}
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			continue
		}
		if (key.Use == "" || key.Use == "sig" || slices.Contains(r.Uses, key.Use)) && r.verifies(&key) {
			usable = append(usable, key)
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("no usable key")
	}
	return usable, nil
}

// verifies reports whether a key can verify anything that is accepted.
func (r Rules) verifies(key *jose.JSONWebKey) bool {
	return slices.ContainsFunc(r.Algorithms, func(alg jose.SignatureAlgorithm) bool { return fits(key, alg) })
}

// fits reports whether a key is a strong one of the kind that the algorithm signs
// with, and not reserved for another (RFC 7517 section 4.4).
func fits(key *jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if key.Algorithm != "" && key.Algorithm != string(alg) {
		return false
	}
	switch k := key.Key.(type) {
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && k.Curve == elliptic.P256() || alg == jose.ES384 && k.Curve == elliptic.P384() || alg == jose.ES512 && k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return alg == jose.EdDSA && len(k) == ed25519.PublicKeySize
	case *rsa.PublicKey:
		return slices.Contains(rsaAlgorithms, alg) && k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits
	}
	return false
}

var rsaAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}

// ByID returns the keys with the ID, and those that have none, as a key in PEM; all
// of them for a signature that names none. An ID is a hint and proves nothing.
func ByID(all []jose.JSONWebKey, id string) []jose.JSONWebKey {
	if id == "" {
		return all
	}
	var keys []jose.JSONWebKey
	for _, k := range all {
		if k.KeyID == id || k.KeyID == "" {
			keys = append(keys, k)
		}
	}
	return keys
}

// Verify returns the payload that one of the keys has signed, or ErrSignature.
// The caller has parsed the signature with a list of algorithms.
func Verify(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, error) {
	alg := jose.SignatureAlgorithm(jws.Signatures[0].Header.Algorithm)
	for i := range keys {
		if !fits(&keys[i], alg) {
			continue
		}
		if payload, err := jws.Verify(keys[i].Key); err == nil {
			return payload, nil
		}
	}
	return nil, ErrSignature
}
