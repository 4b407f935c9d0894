package client

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// discoveryTimeout bounds how long a server is asked for its challenge.
const discoveryTimeout = 2 * probeTimeout

// Resource is a protected resource (RFC 9728), and what the operator says about
// its provider. URL and Identifier are required.
type Resource struct {
	// URL is where the resource is called.
	URL string
	// Identifier is what it is called at its provider (RFC 8707).
	Identifier string
	// Scopes replace those that the resource names.
	Scopes []string
	// Issuer is the provider's. With endpoints, or where the resource names
	// another one than it does itself.
	Issuer string
	// AuthorizationEndpoint and TokenEndpoint belong to a provider without
	// discovery: set, nothing is discovered. RevocationEndpoint is optional.
	AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint string
}

// Provider is a resource's authorization server, and what to ask of it.
type Provider struct {
	oauth.ServerMetadata
	// KnownIssuer is false for a configured provider without an issuer:
	// then no iss can be compared.
	KnownIssuer bool
	// Discovered is true if the resource named the provider, not the operator.
	Discovered bool
	// Resource is the identifier to send, empty for none.
	Resource string
	// Scopes are what the resource needs.
	Scopes []string
}

// Discover finds the provider of a resource: configured, or from the
// resource's own challenge and metadata (MCP authorization, authorization
// server discovery).
func (c *Client) Discover(ctx context.Context, r Resource) (*Provider, error) {
	p, err := c.findProvider(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(r.Scopes) > 0 {
		p.Scopes = r.Scopes
	}
	if c.Quirks.NoResource {
		p.Resource = ""
	}
	return p, nil
}

func (c *Client) findProvider(ctx context.Context, r Resource) (*Provider, error) {
	if r.TokenEndpoint != "" {
		return c.configuredProvider(r)
	}
	challenge, noChallenge := c.challengeOf(ctx, r.URL)
	m, noMetadata := (&search{client: c}).resourceMetadata(ctx, r, challenge)
	if noMetadata != nil && (!errors.Is(noMetadata, errNoDocument) || isDown(noMetadata)) {
		return nil, noMetadata
	}
	p := &Provider{KnownIssuer: true, Discovered: r.Issuer == "", Resource: r.Identifier, Scopes: challenge.Scopes}
	// A server of MCP revision 2025-03-26 is its own authorization server.
	issuers := []string{Origin(r.URL)}
	if m != nil {
		p.Resource, issuers = m.Resource, m.AuthorizationServers
		if len(p.Scopes) == 0 {
			p.Scopes = m.ScopesSupported.Scopes()
		}
	}
	if r.Issuer != "" {
		issuers = []string{r.Issuer}
	}
	metadata, err := c.firstProvider(ctx, issuers)
	if err != nil && m == nil {
		return nil, inOrder(noChallenge, noMetadata, err)
	}
	if err != nil {
		return nil, err
	}
	p.ServerMetadata = *metadata
	return p, nil
}

// challengeOf asks a server without credentials. One that answers anonymous
// requests sends no challenge; its metadata may still be there, as it may be
// where the question was not understood.
func (c *Client) challengeOf(ctx context.Context, serverURL string) (oauth.Challenge, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	var found oauth.Challenge
	err := c.probe(ctx, serverURL, nil, func(a *ProbeAnswer) (enough bool) {
		challenge := oauth.ParseChallenge(a.header)
		if challenge.ResourceMetadata != "" || a.Status == http.StatusUnauthorized && len(found.Scopes) == 0 {
			found = challenge
		}
		return a.Result || found.ResourceMetadata != ""
	})
	if err != nil {
		return found, Unreachable(err)
	}
	return found, nil
}

// firstProvider returns the first of the issuers that can be used. They are
// independent of each other: nothing of one is used with another.
func (c *Client) firstProvider(ctx context.Context, issuers []string) (*oauth.ServerMetadata, error) {
	var first error
	asked := 0
	for _, issuer := range issuers {
		if asked == maxProviders {
			break
		}
		m, err := c.metadataOf(ctx, issuer)
		if err == nil {
			return m, nil
		}
		first = cmp.Or(first, err)
		if !errors.Is(err, errMalformedIssuer) {
			asked++
		}
	}
	return nil, cmp.Or[error](first, newError(ProviderUnusable, errors.New("the server names no provider")))
}

// inOrder returns one error for all that were met on the way, the first one
// first. A host that is only down now may have had the answer.
func inOrder(failures ...error) error {
	kind := ProviderUnusable
	var all []string
	for _, err := range failures {
		var failure *Error
		if !errors.As(err, &failure) {
			continue
		}
		all = append(all, failure.Cause.Error())
		if failure.Problem == ProviderDown {
			kind = ProviderDown
		}
	}
	return newError(kind, errors.New(strings.Join(all, "; ")))
}

func isDown(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Problem == ProviderDown
}

// configuredProvider returns a provider without discovery.
func (c *Client) configuredProvider(r Resource) (*Provider, error) {
	if err := c.CheckAuthorizationEndpoint(r.AuthorizationEndpoint); err != nil {
		return nil, Errorf(ProviderUnusable, "authorization_endpoint: %w", err)
	}
	p := &Provider{KnownIssuer: r.Issuer != "", Resource: r.Identifier, ServerMetadata: oauth.ServerMetadata{
		Issuer:                r.Issuer,
		AuthorizationEndpoint: r.AuthorizationEndpoint,
		TokenEndpoint:         r.TokenEndpoint,
		RevocationEndpoint:    r.RevocationEndpoint,
	}}
	if !p.KnownIssuer {
		p.Issuer = Origin(r.TokenEndpoint)
	}
	return p, nil
}
