package upstream

import (
	"context"
	"errors"
	"net/http"
)

// provider is a server's authorization server, and what to ask of it.
type provider struct {
	providerMetadata
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
	challenge, err := b.challengeOf(ctx, s)
	if err != nil {
		return nil, err
	}
	m, err := b.resourceMetadata(ctx, s, challenge)
	if err != nil {
		return nil, err
	}
	p := &provider{KnownIssuer: true, Discovered: s.Issuer == "", Resource: s.resource(), Scopes: challenge.Scopes}
	var issuers []string
	if m != nil {
		p.Resource, issuers = m.Resource, m.AuthorizationServers
		if len(p.Scopes) == 0 {
			p.Scopes = union(nil, m.ScopesSupported)
		}
	} else {
		// A server of revision 2025-03-26 is its own authorization server.
		issuers = []string{originOf(s.URL)}
	}
	if s.Issuer != "" {
		issuers = []string{s.Issuer}
	}
	metadata, err := b.firstProvider(ctx, s, issuers)
	if err != nil {
		return nil, err
	}
	p.providerMetadata = *metadata
	return p, nil
}

// challengeOf asks the server without credentials. One that lets strangers ask
// challenges nobody; its metadata may still be there.
func (b *Broker) challengeOf(ctx context.Context, s *Server) (Challenge, error) {
	k, err := b.knock(ctx, s, nil)
	if err != nil {
		return Challenge{}, problem(ProviderDown, transportError(err))
	}
	if k.status != http.StatusUnauthorized {
		return Challenge{}, nil
	}
	return ParseChallenge(k.header), nil
}

// firstProvider returns the first of the issuers that can be used. They are
// independent of each other: nothing of one is used with another.
func (b *Broker) firstProvider(ctx context.Context, s *Server, issuers []string) (*providerMetadata, error) {
	first := error(problem(ProviderUnusable, errors.New("the server names no provider")))
	for i, issuer := range issuers[:min(len(issuers), maxProviders)] {
		m, err := b.providerMetadata(ctx, s, issuer)
		if err == nil {
			return m, nil
		}
		if i == 0 {
			first = err
		}
	}
	return nil, first
}

// configuredProvider returns a provider without discovery.
func (b *Broker) configuredProvider(s *Server) (*provider, error) {
	if err := b.checkAuthorizationEndpoint(s, s.AuthorizationEndpoint); err != nil {
		return nil, problemf(ProviderUnusable, "authorization_endpoint: %w", err)
	}
	p := &provider{KnownIssuer: s.Issuer != "", Resource: s.resource(), providerMetadata: providerMetadata{
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
