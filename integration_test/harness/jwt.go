package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// keySet are the keys a provider signs with, read again when a token names one
// that is not among them.
type keySet struct {
	url string

	mu   sync.Mutex
	keys jose.JSONWebKeySet
}

// open returns what a JWT says if its signature is right.
func (s *keySet) open(token string) (claims, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return claims{}, err
	}
	key, err := s.key(signed.Signatures[0].Header.KeyID)
	if err != nil {
		return claims{}, err
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return claims{}, err
	}
	var c claims
	err = json.Unmarshal(payload, &c)
	return c, err
}

func (s *keySet) key(id string) (*jose.JSONWebKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.keys.Key(id); len(found) > 0 {
		return &found[0], nil
	}
	resp, err := http.Get(s.url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s.keys); err != nil {
		return nil, err
	}
	if found := s.keys.Key(id); len(found) > 0 {
		return &found[0], nil
	}
	return nil, fmt.Errorf("the provider has no key %q", id)
}

// audience is one text or several in JSON (RFC 7519 section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}
