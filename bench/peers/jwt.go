package peers

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
)

type claims map[string]any

// encode returns the first two parts of a JWT.
func (c claims) encode(header claims) (string, error) {
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(c)
	return base64URL(head) + "." + base64URL(body), err
}

// signHS512 returns a JWT that whoever has the key can verify.
func signHS512(key []byte, c claims) (string, error) {
	signed, err := c.encode(claims{"alg": "HS512", "typ": "JWT"})
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha512.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64URL(mac.Sum(nil)), nil
}

// keyID is the name of the issuer's key.
const keyID = "bench"

// signES256 returns a JWT that everybody can verify who asks for the issuer's keys.
func signES256(key *ecdsa.PrivateKey, c claims) (string, error) {
	signed, err := c.encode(claims{"alg": "ES256", "typ": "JWT", "kid": keyID})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64URL(signature), nil
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
