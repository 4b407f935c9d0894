package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The algorithms.
const (
	EdDSA = jose.EdDSA // with Ed25519
	ES256 = jose.ES256
	RS256 = jose.RS256
)

const (
	// maxStale is how long a process may go on with keys that it read before, at
	// most.
	maxStale = 15 * time.Minute
	// publishAhead is how long a key is published before it signs, unless keys are
	// replaced more often: whoever keeps a copy of the key set for a day knows it.
	publishAhead = 24 * time.Hour
	// algorithmOverlap is how long a key may go on to sign beside a later one of
	// another algorithm: until every instance has the new configuration.
	algorithmOverlap = 24 * time.Hour
)

// key is a signing key. It never changes but for Longest.
type key struct {
	JWK jose.JSONWebKey `json:"jwk"` // private, with its id and algorithm
	// SignsFrom is when it begins to sign.
	SignsFrom time.Time `json:"signs_from"`
	// Longest is how long anything that it signs may be good.
	Longest time.Duration `json:"longest"`
}

// keySet is the keys of a site, oldest first. It is never changed.
type keySet struct {
	Keys []key `json:"keys"`
}

func newKey(algorithm jose.SignatureAlgorithm, signsFrom time.Time, longest time.Duration) (key, error) {
	private, err := generate(algorithm)
	if err != nil {
		return key{}, err
	}
	jwk := jose.JSONWebKey{Key: private, Algorithm: string(algorithm), Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return key{}, err
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return key{JWK: jwk, SignsFrom: signsFrom.UTC().Truncate(time.Second), Longest: longest}, nil
}

func generate(algorithm jose.SignatureAlgorithm) (any, error) {
	switch algorithm {
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("signing: unknown algorithm %q", algorithm)
}

// signer returns the index of the key that signs with the algorithm, or -1.
func (s *keySet) signer(algorithm jose.SignatureAlgorithm, now time.Time) int {
	for i, k := range slices.Backward(s.Keys) {
		if k.JWK.Algorithm == string(algorithm) && !k.SignsFrom.After(now) && now.Before(s.stops(i, now)) {
			return i
		}
	}
	return -1
}

// stops returns when a later key takes over from a key, or a time that is far
// away.
func (s *keySet) stops(i int, now time.Time) time.Time {
	end := now.Add(never)
	for _, later := range s.Keys[i+1:] {
		takesOver := later.SignsFrom
		if later.JWK.Algorithm != s.Keys[i].JWK.Algorithm {
			takesOver = takesOver.Add(algorithmOverlap)
		}
		if takesOver.Before(end) {
			end = takesOver
		}
	}
	return end
}

const never = 100 * 365 * 24 * time.Hour

// publishedUntil returns when nothing that a key signed is good any more.
func (s *keySet) publishedUntil(i int, now time.Time) time.Time {
	return s.stops(i, now).Add(maxStale + s.Keys[i].Longest)
}

// isNeeded reports whether anything that a key signed can still be good, or it
// will sign.
func (s *keySet) isNeeded(i int, now time.Time) bool { return now.Before(s.publishedUntil(i, now)) }

// Overview is a published key as operators see it.
type Overview struct {
	KeyID          string    `json:"kid"`
	Algorithm      string    `json:"algorithm"`
	SignsFrom      time.Time `json:"signs_from"`
	PublishedUntil time.Time `json:"published_until,omitzero"` // zero until the next one is made
}

func (s *keySet) overviews(now time.Time) []Overview {
	var all []Overview
	for i, k := range s.Keys {
		if !s.isNeeded(i, now) {
			continue
		}
		o := Overview{KeyID: k.JWK.KeyID, Algorithm: k.JWK.Algorithm, SignsFrom: k.SignsFrom}
		if i < len(s.Keys)-1 {
			o.PublishedUntil = s.publishedUntil(i, now)
		}
		all = append(all, o)
	}
	return all
}

// published returns the public keys, as JSON (RFC 7517 section 5).
func (s *keySet) published(now time.Time) ([]byte, error) {
	document := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for i, k := range s.Keys {
		if s.isNeeded(i, now) {
			document.Keys = append(document.Keys, k.JWK.Public())
		}
	}
	return json.Marshal(document)
}

// plan is how keys are made and replaced.
type plan struct {
	algorithm jose.SignatureAlgorithm
	rotate    time.Duration // how long a key signs
}

// due returns what the key set should be now: the set itself if that is as it is.
func (p plan) due(s *keySet, now time.Time) (*keySet, error) {
	at := s.signer(p.algorithm, now)
	if at < 0 {
		return p.add(s, now, time.Hour, now)
	}
	k := s.Keys[at]
	next := slices.ContainsFunc(s.Keys[at+1:], func(later key) bool { return later.JWK.Algorithm == string(p.algorithm) })
	ahead := min(publishAhead, p.rotate/2)
	replaced := k.SignsFrom.Add(p.rotate)
	if next || now.Before(replaced.Add(-ahead)) {
		return s, nil
	}
	from := now.Add(ahead)
	if replaced.After(from) {
		from = replaced
	}
	return p.add(s, from, k.Longest, now)
}

// add returns the set with one more key, and without those that nobody needs.
func (p plan) add(s *keySet, signsFrom time.Time, longest time.Duration, now time.Time) (*keySet, error) {
	k, err := newKey(p.algorithm, signsFrom, longest)
	if err != nil {
		return nil, err
	}
	next := new(keySet)
	for i := range s.Keys {
		if s.isNeeded(i, now) {
			next.Keys = append(next.Keys, s.Keys[i])
		}
	}
	next.Keys = append(next.Keys, k)
	return next, nil
}

// withLongest returns the set in which what a key signs may be good for so long.
func (s *keySet) withLongest(i int, longest time.Duration) *keySet {
	next := &keySet{slices.Clone(s.Keys)}
	next.Keys[i].Longest = longest
	return next
}
