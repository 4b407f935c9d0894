package client

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

// Metadata gets the metadata of an issuer, from the first place that has a
// usable document. If none has, and one could not answer, it is ProviderDown.
func (c *Client) Metadata(ctx context.Context, issuer string) (*oauth.ServerMetadata, error) {
	places, err := metadataPlaces(issuer)
	if err != nil {
		return nil, newError(ProviderUnusable, err)
	}
	var m *oauth.ServerMetadata
	f := search{client: c}
	err = f.find(ctx, places, func(place string, body []byte) (err error) {
		m, err = c.readMetadata(issuer, place, body)
		return err
	})
	return m, err
}

func (c *Client) readMetadata(issuer, place string, body []byte) (*oauth.ServerMetadata, error) {
	var m oauth.ServerMetadata
	if err := strictjson.Unmarshal(body, maxMetadataLen, &m); err != nil {
		return nil, err
	}
	if m.Issuer == "" || m.AuthorizationEndpoint == "" || m.TokenEndpoint == "" {
		return nil, errors.New("issuer, authorization_endpoint or token_endpoint is missing")
	}
	if err := c.checkMetadata(issuer, &m); err != nil {
		return nil, Errorf(ProviderUnusable, "provider metadata at %s: %w", LoggedURL(place), err)
	}
	return &m, nil
}

var errMalformedIssuer = errors.New("malformed issuer")

// metadataPlaces returns the URLs to try, in the order that MCP
// prescribes: RFC 8414 section 3.1, OpenID Connect Discovery likewise, and
// with a path also as section 4.1 of that wants it.
func metadataPlaces(issuer string) ([]string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(issuer, "?#") {
		return nil, fmt.Errorf("%w: %s", errMalformedIssuer, LoggedURL(issuer)) // RFC 8414 section 2
	}
	base, path := origin(u), strings.TrimSuffix(u.EscapedPath(), "/")
	places := []string{base + oauth.AuthorizationServerPath + path, base + oauth.OpenIDConfigurationPath + path}
	if path != "" {
		places = append(places, base+path+oauth.OpenIDConfigurationPath)
	}
	return places, nil
}

// checkMetadata refuses what would send people or secrets astray.
func (c *Client) checkMetadata(issuer string, m *oauth.ServerMetadata) error {
	if !SameIssuer(m.Issuer, issuer) {
		return fmt.Errorf("its issuer is %s, not %s; if that is the right provider, configure issuer for %s",
			LoggedURL(m.Issuer), LoggedURL(issuer), c.Name)
	}
	if !slices.Contains(m.CodeChallengeMethods, oauth.MethodS256) && !c.Quirks.AllowMissingPKCE {
		return errors.New("it does not say that it supports PKCE with S256 (code_challenge_methods_supported)")
	}
	if err := c.checkAuthorizationEndpoint(m.AuthorizationEndpoint); err != nil {
		return fmt.Errorf("authorization_endpoint: %w", err)
	}
	if err := c.checkEndpoint(m.TokenEndpoint); err != nil {
		return fmt.Errorf("token_endpoint: %w", err)
	}
	for name, endpoint := range map[string]string{
		"registration_endpoint": m.RegistrationEndpoint, "revocation_endpoint": m.RevocationEndpoint,
	} {
		if endpoint == "" {
			continue
		}
		if err := c.checkEndpoint(endpoint); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
