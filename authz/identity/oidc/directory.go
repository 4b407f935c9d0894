package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/client"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/jwks"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	maxMetadataLen  = 128 << 10
	maxKeySetLen    = 256 << 10
	maxKeys         = 100
	metadataTimeout = 10 * time.Second
	// metadataFresh is how long what a provider says about itself is taken for
	// true, and metadataStale the same while it does not answer.
	metadataFresh = time.Hour
	metadataStale = 7 * 24 * time.Hour
	metadataPause = time.Minute
	metadataRetry = time.Second
)

// algorithms are those of signatures that are accepted, all of them asymmetric.
// Of these, a provider uses those that it names.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// metadata is what a provider says about itself (OpenID Connect Discovery section
// 3).
type metadata struct {
	JWKSURI            string        `json:"jwks_uri"`
	EndSessionEndpoint string        `json:"end_session_endpoint"`
	Algorithms         oauth.Strings `json:"id_token_signing_alg_values_supported"`
	// Prompts is prompt_values_supported (Initiating User Registration via OpenID
	// Connect): a list, read where nobody's sign-in depends on it.
	Prompts json.RawMessage `json:"prompt_values_supported"`
}

// source is a provider as it says to be, with its keys.
type source struct {
	oauth.ServerMetadata
	metadata
	// Signed are the algorithms of its signatures that we accept.
	signed []string
	keys   *jwks.Remote
}

// Directory keeps what providers say about themselves. One serves a whole
// process: a new configuration need not ask them all again.
type Directory struct {
	mu      sync.Mutex
	sources map[string]*cache.Kept[*source]
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory { return &Directory{sources: map[string]*cache.Kept[*source]{}} }

// source returns the provider of an issuer, as it is seen by a client: what one
// may reach, another may not.
func (d *Directory) source(issuer string, c *client.Client) *cache.Kept[*source] {
	key := issuer + "\n" + c.Guarded.Reach() + "\n" + c.Operator.Reach()
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := d.sources[key]
	if kept == nil {
		kept = &cache.Kept[*source]{
			Timeout: metadataTimeout, Now: c.Now, Fresh: metadataFresh, Stale: metadataStale, Pause: metadataPause, Retry: metadataRetry,
		}
		var before *source // fetching is done by one at a time
		kept.Fetch = func(ctx context.Context) (*source, error) {
			found, err := discover(ctx, c, issuer, before)
			if err == nil {
				before = found
			}
			return found, err
		}
		d.sources[key] = kept
	}
	return kept
}

// discover gets the metadata of an issuer (OpenID Connect Discovery section 4).
// The keys are those of before if they are at the same address.
func discover(ctx context.Context, c *client.Client, issuer string, before *source) (*source, error) {
	place := strings.TrimSuffix(issuer, "/") + oauth.OpenIDConfigurationPath
	doc, err := c.FetchJSON(ctx, place, "", maxMetadataLen)
	if err != nil {
		return nil, err
	}
	s := &source{}
	if err := strictjson.Unmarshal(doc.Body, maxMetadataLen, &s.ServerMetadata); err != nil {
		return nil, err
	}
	if err := strictjson.Unmarshal(doc.Body, maxMetadataLen, &s.metadata); err != nil {
		return nil, err
	}
	if err := s.check(c, issuer); err != nil {
		return nil, err
	}
	if before != nil && before.JWKSURI == s.JWKSURI {
		s.keys = before.keys
		return s, nil
	}
	s.keys = &jwks.Remote{
		Rules: jwks.Rules{Algorithms: algorithms, MaxLen: maxKeySetLen, MaxKeys: maxKeys}, URL: s.JWKSURI, Now: c.Now,
		Fetch: func(ctx context.Context, url string, limit int64) (*egress.Document, error) {
			return c.FetchJSON(ctx, url, "", limit)
		},
	}
	return s, nil
}

// check refuses what is another issuer's, and what would send people or secrets
// astray.
func (s *source) check(c *client.Client, issuer string) error {
	if s.Issuer != issuer && strings.Contains(s.Issuer, "{tenantid}") {
		return errors.New("the metadata there is of another issuer for each tenant; write `identity oidc https://login.microsoftonline.com/<id of your tenant>/v2.0`")
	}
	if s.Issuer != issuer {
		return fmt.Errorf("the metadata there is of another issuer, %s; write `identity oidc %s` if that is the one you mean",
			client.LoggedURL(s.Issuer), client.LoggedURL(s.Issuer))
	}
	for _, endpoint := range []struct {
		name, url string
		judge     func(string) error
		optional  bool
	}{
		{"authorization_endpoint", s.AuthorizationEndpoint, c.CheckAuthorizationEndpoint, false},
		{"token_endpoint", s.TokenEndpoint, c.CheckEndpoint, false},
		{"jwks_uri", s.JWKSURI, c.CheckEndpoint, false},
		{"userinfo_endpoint", s.UserinfoEndpoint, c.CheckEndpoint, true},
		{"end_session_endpoint", s.EndSessionEndpoint, c.CheckAuthorizationEndpoint, true},
	} {
		if endpoint.url == "" && endpoint.optional {
			continue
		}
		if err := endpoint.judge(endpoint.url); err != nil {
			return fmt.Errorf("%s %s: %w; it must be https, and only on the issuer's own host and port may it be in a private network or at another port than 443",
				endpoint.name, client.LoggedURL(endpoint.url), err)
		}
	}
	for _, alg := range algorithms {
		for _, own := range s.Algorithms {
			if own == string(alg) {
				s.signed = append(s.signed, own)
			}
		}
	}
	if len(s.signed) == 0 && len(s.Algorithms) > 0 {
		return fmt.Errorf("id_token_signing_alg_values_supported: the provider signs ID tokens with none of %v; choose one of these there", algorithms)
	}
	if len(s.signed) == 0 {
		s.signed = []string{string(jose.RS256)} // which every provider supports
	}
	return nil
}
