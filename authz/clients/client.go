package clients

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Origin tells how the authorization server came to know a client, and so
// how far to trust what it says of itself.
type Origin string

// The origins of a client.
const (
	Preregistered    Origin = "preregistered"     // by the operator's configuration
	Registered       Origin = "registered"        // by itself, RFC 7591
	MetadataDocument Origin = "metadata_document" // by a document at its client ID
)

// Client is an OAuth client, wherever it comes from.
type Client struct {
	ID     string
	Origin Origin
	// Metadata is unverified text unless Origin is Preregistered.
	Metadata oauth.ClientMetadata
	// SecretHash is set for client_secret_basic and client_secret_post.
	SecretHash *storage.Hash
	// Introspect lets a pre-registered client introspect any token of this
	// issuer, not only its own.
	Introspect bool
	// Service is who a pre-registered client is by itself, nil if it gets no tokens
	// without a person; ServiceLifetime is how long those tokens live.
	Service         *identity.Service
	ServiceLifetime time.Duration
	// Fingerprint changes with whatever a person's approval rests on: name,
	// redirect URIs, keys.
	Fingerprint storage.Hash
}

// AllowsGrant reports whether the client registered the grant type.
func (c *Client) AllowsGrant(grantType string) bool {
	return slices.Contains(c.Metadata.GrantTypes, grantType)
}

// Complete checks what an operator says of a pre-registered client and fills
// in what they left out. Without a secret and without keys a client is public;
// with a secret but no authentication method it may send the secret either
// way, since nobody told the client which one was registered.
func (c *Client) Complete(redirectSchemes []string) error {
	if c.ID == "" || !visible(c.ID, maxDocumentURLLen) {
		return InvalidMetadata("client_id must be visible characters.")
	}
	if c.SecretHash == nil && c.Metadata.TokenEndpointAuthMethod == oauth.AuthSecretEither {
		c.Metadata.TokenEndpointAuthMethod = oauth.AuthNone
	}
	if err := CompleteMetadata(&c.Metadata, Preregistered, redirectSchemes); err != nil {
		return err
	}
	switch c.Metadata.TokenEndpointAuthMethod {
	case oauth.AuthNone, oauth.AuthPrivateKeyJWT:
		if c.SecretHash != nil {
			return InvalidMetadata("this token_endpoint_auth_method uses no client secret.")
		}
	default:
		if c.SecretHash == nil {
			return InvalidMetadata("this token_endpoint_auth_method needs a client secret.")
		}
	}
	c.Origin, c.Fingerprint = Preregistered, Fingerprint(&c.Metadata)
	return nil
}

// Fingerprint hashes what a person's approval of a client rests on. The order
// of redirect URIs does not matter, nor whether the client chose what is the
// default.
func Fingerprint(m *oauth.ClientMetadata) storage.Hash {
	uris := slices.Sorted(slices.Values(m.RedirectURIs))
	text, err := json.Marshal([]any{m.ClientName, uris, m.Published().TokenEndpointAuthMethod, m.JWKSURI, string(m.JWKS)})
	if err != nil {
		panic(err) // strings always marshal
	}
	return sha256.Sum256(text)
}
