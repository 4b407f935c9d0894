package accounts

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// provider is a server's authorization server, and what to ask of it.
type provider struct {
	oauth.ProviderMetadata
	// KnownIssuer is false for a configured provider whose issuer nobody
	// said: then no iss can be compared.
	KnownIssuer bool
	// Discovered tells that the server named the provider, not the operator.
	Discovered bool
	// Resource is the identifier to send, empty for none.
	Resource string
	// Scopes are what the server needs.
	Scopes []string
}

// discover finds the provider of a server: configured, or from the server's
// own challenge and metadata (MCP authorization, authorization server
// discovery).
func (b *Broker) discover(ctx context.Context, s *Server) (*provider, error) {
	p, err := b.findProvider(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(s.Scopes) > 0 {
		p.Scopes = s.Scopes
	}
	if s.Quirks.NoResource {
		p.Resource = ""
	}
	return p, nil
}

func (b *Broker) findProvider(ctx context.Context, s *Server) (*provider, error) {
	if s.TokenEndpoint != "" {
		return b.configuredProvider(s)
	}
	challenge, noChallenge := b.challengeOf(ctx, s)
	m, noMetadata := b.resourceMetadata(ctx, s, challenge)
	if noMetadata != nil && (!errors.Is(noMetadata, errNoDocument) || isDown(noMetadata)) {
		return nil, noMetadata
	}
	p := &provider{KnownIssuer: true, Discovered: s.Issuer == "", Resource: s.resource(), Scopes: challenge.Scopes}
	// A server of revision 2025-03-26 is its own authorization server.
	issuers := []string{originOf(s.URL)}
	if m != nil {
		p.Resource, issuers = m.Resource, m.AuthorizationServers
		if len(p.Scopes) == 0 {
			p.Scopes = m.ScopesSupported.Scopes()
		}
	}
	if s.Issuer != "" {
		issuers = []string{s.Issuer}
	}
	metadata, err := b.firstProvider(ctx, s, issuers)
	if err != nil && m == nil {
		return nil, inOrder(noChallenge, noMetadata, err)
	}
	if err != nil {
		return nil, err
	}
	p.ProviderMetadata = *metadata
	return p, nil
}

// challengeOf asks the server without credentials. One that lets strangers ask
// challenges nobody; its metadata may still be there, as it may be where the
// question was not understood.
func (b *Broker) challengeOf(ctx context.Context, s *Server) (oauth.Challenge, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*knockTimeout)
	defer cancel()
	var found oauth.Challenge
	err := b.askInTurn(ctx, s, nil, func(k *knocked) (enough bool) {
		c := oauth.ParseChallenge(k.header)
		if c.ResourceMetadata != "" || k.status == http.StatusUnauthorized && len(found.Scopes) == 0 {
			found = c
		}
		return k.result || found.ResourceMetadata != ""
	})
	if err != nil {
		return found, unreachable(err)
	}
	return found, nil
}

// firstProvider returns the first of the issuers that can be used. They are
// independent of each other: nothing of one is used with another.
func (b *Broker) firstProvider(ctx context.Context, s *Server, issuers []string) (*oauth.ProviderMetadata, error) {
	var first error
	asked := 0
	for _, issuer := range issuers {
		if asked == maxProviders {
			break
		}
		m, err := b.providerMetadata(ctx, s, issuer)
		if err == nil {
			return m, nil
		}
		first = cmp.Or(first, err)
		if !errors.Is(err, errMalformedIssuer) {
			asked++
		}
	}
	return nil, cmp.Or[error](first, problem(ProviderUnusable, errors.New("the server names no provider")))
}

// inOrder returns one error for all that were met on the way, the first one
// first. Somebody who is only down now may have had the answer.
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
	return problem(kind, errors.New(strings.Join(all, "; ")))
}

func isDown(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Problem == ProviderDown
}

// configuredProvider returns a provider without discovery.
func (b *Broker) configuredProvider(s *Server) (*provider, error) {
	if err := b.checkAuthorizationEndpoint(s, s.AuthorizationEndpoint); err != nil {
		return nil, problemf(ProviderUnusable, "authorization_endpoint: %w", err)
	}
	p := &provider{KnownIssuer: s.Issuer != "", Resource: s.resource(), ProviderMetadata: oauth.ProviderMetadata{
		Issuer:                s.Issuer,
		AuthorizationEndpoint: s.AuthorizationEndpoint,
		TokenEndpoint:         s.TokenEndpoint,
		RevocationEndpoint:    s.RevocationEndpoint,
	}}
	if !p.KnownIssuer {
		p.Issuer = originOf(s.TokenEndpoint)
	}
	return p, nil
}
