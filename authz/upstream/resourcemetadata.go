package upstream

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/strictjson"
)

const (
	maxMetadataLen        = 64 << 10
	protectedResourcePath = "/.well-known/oauth-protected-resource"
	// maxProviders is how many of the providers that a server names are tried.
	maxProviders = 3
)

// resourceMetadata is what a server says about itself (RFC 9728 section 2).
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported"`
}

// resourceMetadata finds the metadata of a server: where its challenge says,
// then at the well-known place for its URL, then at the root (MCP
// authorization, protected resource metadata discovery). It returns nil for a
// server that has none; one that could not answer has some, as far as we know.
func (b *Broker) resourceMetadata(ctx context.Context, s *Server, c Challenge) (*resourceMetadata, error) {
	var outage error
	for _, place := range resourceMetadataPlaces(s.URL, c.ResourceMetadata) {
		m, err := b.fetchResourceMetadata(ctx, s, place)
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, egress.ErrAnswer) {
			return nil, err
		}
		outage = cmp.Or(outage, outageIn(err))
	}
	if outage != nil {
		return nil, problem(ProviderDown, outage)
	}
	return nil, nil
}

// outageIn returns the error if it says that somebody cannot answer just now,
// which is no answer to whether there is a document. Many answer 5xx where they
// have none, so the next place is tried all the same.
func outageIn(err error) error {
	if errors.Is(err, egress.ErrUnavailable) {
		return err
	}
	return nil
}

// resourceMetadataPlaces returns the URLs to try, in order.
func resourceMetadataPlaces(serverURL, challenged string) []string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return nil
	}
	root := origin(u) + protectedResourcePath
	places := []string{root + strings.TrimSuffix(u.EscapedPath(), "/"), root}
	if challenged != "" {
		places = append([]string{challenged}, places...)
	}
	return slices.Compact(places)
}

// fetchResourceMetadata gets the document at one place. Its resource must be
// the server (RFC 9728 section 3.3), or at the root it may be the origin: else
// it could be another server's, and name a provider for that one's tokens.
func (b *Broker) fetchResourceMetadata(ctx context.Context, s *Server, place string) (*resourceMetadata, error) {
	body, err := b.fetch(ctx, s, place)
	if err != nil {
		return nil, err
	}
	var m resourceMetadata
	if err := strictjson.Unmarshal(body, maxMetadataLen, &m); err != nil {
		return nil, problemf(ProviderUnusable, "resource metadata: %w", err)
	}
	got := canonicalResource(m.Resource)
	isServer := got != "" && got == canonicalResource(s.resource())
	isOrigin := got == originOf(s.URL) && place == got+protectedResourcePath
	if !isServer && !isOrigin {
		return nil, problemf(ProviderUnusable, "resource metadata is for another resource")
	}
	return &m, nil
}

// fetch gets a JSON document about a server. An answer that is no document is
// an egress.ErrAnswer; every other error is an Error.
func (b *Broker) fetch(ctx context.Context, s *Server, rawURL string) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, problemf(ProviderUnusable, "malformed URL")
	}
	d, err := b.reach(s, u).FetchJSON(ctx, rawURL, maxMetadataLen)
	switch {
	case err == nil:
		return d.Body, nil
	case errors.Is(err, egress.ErrAnswer):
		return nil, err
	case errors.Is(err, egress.ErrURL) || errors.Is(err, egress.ErrAddress):
		return nil, problem(ProviderUnusable, err)
	}
	return nil, problem(ProviderDown, transportError(err))
}
