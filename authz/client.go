package authz

import (
	"encoding/json"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Origin tells how the authorization server came to know a client, and so
// how far to believe what it says of itself.
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
	Metadata ClientMetadata
	// SecretHash is set for client_secret_basic and client_secret_post.
	SecretHash *storage.Hash
	// Introspect lets a pre-registered client introspect any token of this
	// issuer, not only its own.
	Introspect bool
	// Fingerprint changes with whatever a person's approval rests on: name,
	// redirect URIs, keys.
	Fingerprint storage.Hash
}

// ClientMetadata is the part of RFC 7591 section 2 that this server keeps.
type ClientMetadata struct {
	RedirectURIs            []string        `json:"redirect_uris"`
	TokenEndpointAuthMethod string          `json:"token_endpoint_auth_method"`
	GrantTypes              []string        `json:"grant_types"`
	ResponseTypes           []string        `json:"response_types"`
	ClientName              string          `json:"client_name,omitempty"`
	ClientURI               string          `json:"client_uri,omitempty"`
	LogoURI                 string          `json:"logo_uri,omitempty"`
	Scope                   string          `json:"scope,omitempty"`
	Contacts                []string        `json:"contacts,omitempty"`
	TOSURI                  string          `json:"tos_uri,omitempty"`
	PolicyURI               string          `json:"policy_uri,omitempty"`
	JWKSURI                 string          `json:"jwks_uri,omitempty"`
	JWKS                    json.RawMessage `json:"jwks,omitempty"`
	SoftwareID              string          `json:"software_id,omitempty"`
	SoftwareVersion         string          `json:"software_version,omitempty"`
	ApplicationType         string          `json:"application_type,omitempty"`
}

// Client authentication methods (RFC 7591 section 2).
const (
	AuthNone          = "none"
	AuthSecretBasic   = "client_secret_basic"
	AuthSecretPost    = "client_secret_post"
	AuthPrivateKeyJWT = "private_key_jwt"
)
