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

const (
	maxMetadataLen = 64 << 10
	// maxProviders is how many of the providers that a server names are tried.
	maxProviders = 3
)

// resourceMetadata finds the metadata of a server: where its challenge says,
// then at the well-known place for its URL, then at the root (MCP
// authorization, protected resource metadata discovery). The error is marked as
// errNoDocument if there is none; a server that could not answer has some, as
// far as we know, and is ProviderDown.
func (f *search) resourceMetadata(ctx context.Context, r Resource, challenge oauth.Challenge) (*oauth.ResourceMetadata, error) {
	var m *oauth.ResourceMetadata
	err := f.find(ctx, resourceMetadataPlaces(r.URL, challenge.ResourceMetadata), func(place string, body []byte) (err error) {
		m, err = readResourceMetadata(r, place, body)
		return err
	})
	return m, err
}

// resourceMetadataPlaces returns the URLs to try, in order. A challenge should
// name a whole URL; a relative one is read as every reference in an answer of
// the server is (RFC 3986 section 5).
func resourceMetadataPlaces(serverURL, challenged string) []string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return nil
	}
	var places []string
	if challenged != "" {
		places = append(places, challenged)
		if ref, err := u.Parse(challenged); err == nil {
			places[0] = ref.String()
		}
	}
	root := origin(u) + oauth.ProtectedResourcePath
	for _, place := range []string{root + strings.TrimSuffix(u.EscapedPath(), "/"), root} {
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	return places
}

// readResourceMetadata reads the document at one place. Its resource must be
// the server (RFC 9728 section 3.3), or at the root it may be the origin: else
// it could be another server's, and name a provider for that one's tokens.
func readResourceMetadata(r Resource, place string, body []byte) (*oauth.ResourceMetadata, error) {
	var m oauth.ResourceMetadata
	if err := strictjson.Unmarshal(body, maxMetadataLen, &m); err != nil {
		return nil, err
	}
	if m.Resource == "" {
		return nil, errors.New("it names no resource")
	}
	got, _ := oauth.CanonicalResource(m.Resource)
	want, _ := oauth.CanonicalResource(r.Identifier)
	isOrigin := got == Origin(r.URL) && place == got+oauth.ProtectedResourcePath
	if got == "" || got != want && !isOrigin {
		return nil, Errorf(ProviderUnusable, "resource metadata at %s is for another resource, %s, not %s; if it is this server, configure resource",
			LoggedURL(place), LoggedURL(m.Resource), want)
	}
	if len(m.AuthorizationServers) == 0 && r.Issuer == "" {
		return nil, errors.New("it names no authorization server")
	}
	return &m, nil
}

// metadataOf gets the metadata of an issuer, from the first place that has a
// usable document. If none has, and one could not answer, it is ProviderDown.
func (c *Client) metadataOf(ctx context.Context, issuer string) (*oauth.ServerMetadata, error) {
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
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(issuer, "?#") {
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
	if err := c.CheckAuthorizationEndpoint(m.AuthorizationEndpoint); err != nil {
		return fmt.Errorf("authorization_endpoint: %w", err)
	}
	if err := c.CheckEndpoint(m.TokenEndpoint); err != nil {
		return fmt.Errorf("token_endpoint: %w", err)
	}
	for name, endpoint := range map[string]string{
		"registration_endpoint": m.RegistrationEndpoint, "revocation_endpoint": m.RevocationEndpoint,
	} {
		if endpoint == "" {
			continue
		}
		if err := c.CheckEndpoint(endpoint); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
