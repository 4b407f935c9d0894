package clients

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

// AssertionAlgorithms are the signatures accepted from clients that
// authenticate with private_key_jwt (RFC 7523 section 2.2). All are
// asymmetric: a public key can never be replayed as a shared secret.
var AssertionAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

const (
	maxKeySetLen = 64 << 10
	maxKeys      = 20
	minRSABits   = 2048
	maxRSABits   = 8192 // larger ones cost more to verify than they are worth
)

// parseKeySet reads a JWK set (RFC 7517 section 5) and keeps the keys that can
// verify a client's assertion. Keys of other kinds are skipped; private or
// symmetric keys make the set invalid, for they are no longer secret.
func parseKeySet(data []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(data, maxKeySetLen, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
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
		if (key.Use == "" || key.Use == "sig") && strongKey(key.Key) && verifies(&key) {
			usable = append(usable, key)
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("no usable key")
	}
	return usable, nil
}

func strongKey(key any) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits
	}
	return false
}

// verifies reports whether a key can verify any assertion that is accepted.
func verifies(key *jose.JSONWebKey) bool {
	return slices.ContainsFunc(AssertionAlgorithms, func(alg jose.SignatureAlgorithm) bool { return keyFits(key, alg) })
}

// keyFits reports whether a key of a parsed set is of the kind the algorithm
// signs with, and not reserved for another.
func keyFits(key *jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if key.Algorithm != "" && key.Algorithm != string(alg) {
		return false
	}
	switch key.Key.(type) {
	case *ecdsa.PublicKey:
		return alg == jose.ES256
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	case *rsa.PublicKey:
		return alg == jose.RS256 || alg == jose.PS256
	}
	return false
}
