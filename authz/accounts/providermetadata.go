package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

// providerMetadata gets the metadata of an issuer, from the first place that
// has a usable document. If none has, and one could not answer, it is
// ProviderDown.
func (b *Broker) providerMetadata(ctx context.Context, s *Server, issuer string) (*oauth.ProviderMetadata, error) {
	places, err := providerMetadataPlaces(issuer)
	if err != nil {
		return nil, problem(ProviderUnusable, err)
	}
	var m *oauth.ProviderMetadata
	f := search{b: b, s: s}
	err = f.find(ctx, places, func(place string, body []byte) (err error) {
		m, err = b.readProviderMetadata(s, issuer, place, body)
		return err
	})
	return m, err
}

func (b *Broker) readProviderMetadata(s *Server, issuer, place string, body []byte) (*oauth.ProviderMetadata, error) {
	var m oauth.ProviderMetadata
	if err := strictjson.Unmarshal(body, maxMetadataLen, &m); err != nil {
		return nil, err
	}
	if m.Issuer == "" || m.AuthorizationEndpoint == "" || m.TokenEndpoint == "" {
		return nil, errors.New("issuer, authorization_endpoint or token_endpoint is missing")
	}
	if err := b.checkProviderMetadata(s, issuer, &m); err != nil {
		return nil, problemf(ProviderUnusable, "provider metadata at %s: %w", loggedURL(place), err)
	}
	return &m, nil
}

var errMalformedIssuer = errors.New("malformed issuer")

// providerMetadataPlaces returns the URLs to try, in the order that MCP
// prescribes: RFC 8414 section 3.1, OpenID Connect Discovery likewise, and
// with a path also as section 4.1 of that wants it.
func providerMetadataPlaces(issuer string) ([]string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(issuer, "?#") {
		return nil, fmt.Errorf("%w: %s", errMalformedIssuer, loggedURL(issuer)) // RFC 8414 section 2
	}
	base, path := origin(u), strings.TrimSuffix(u.EscapedPath(), "/")
	places := []string{base + oauth.AuthorizationServerPath + path, base + oauth.OpenIDConfigurationPath + path}
	if path != "" {
		places = append(places, base+path+oauth.OpenIDConfigurationPath)
	}
	return places, nil
}

// checkProviderMetadata refuses what would send people or secrets astray.
func (b *Broker) checkProviderMetadata(s *Server, issuer string, m *oauth.ProviderMetadata) error {
	if !sameIssuer(m.Issuer, issuer) {
		return fmt.Errorf("its issuer is %s, not %s; if that is the right provider, configure issuer for server %s",
			loggedURL(m.Issuer), loggedURL(issuer), s.ID)
	}
	if !slices.Contains(m.CodeChallengeMethods, oauth.MethodS256) && !s.Quirks.AllowMissingPKCE {
		return errors.New("it does not say that it supports PKCE with S256 (code_challenge_methods_supported)")
	}
	if err := b.checkAuthorizationEndpoint(s, m.AuthorizationEndpoint); err != nil {
		return fmt.Errorf("authorization_endpoint: %w", err)
	}
	if err := b.checkEndpoint(s, m.TokenEndpoint); err != nil {
		return fmt.Errorf("token_endpoint: %w", err)
	}
	for name, endpoint := range map[string]string{
		"registration_endpoint": m.RegistrationEndpoint, "revocation_endpoint": m.RevocationEndpoint,
	} {
		if endpoint == "" {
			continue
		}
		if err := b.checkEndpoint(s, endpoint); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// checkEndpoint judges an endpoint that we will call. Its address is judged
// again when it is dialled.
func (b *Broker) checkEndpoint(s *Server, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || strings.Contains(endpoint, "#") {
		return errors.New("malformed") // no fragment: RFC 6749 section 3.2
	}
	return b.reach(s, u).CheckURL(u)
}

// checkAuthorizationEndpoint judges the address that a browser is sent to:
// https, or http where we would go ourselves, and never a scheme that a
// browser runs instead of visiting.
func (b *Broker) checkAuthorizationEndpoint(s *Server, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || strings.Contains(endpoint, "#") {
		return errors.New("malformed")
	}
	if u.Scheme == "https" {
		return nil
	}
	return b.reach(s, u).CheckURL(u)
}
