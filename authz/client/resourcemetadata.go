package client

import (
	"context"
	"errors"
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
