package oauth

import (
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Where metadata is, below an origin.
const (
	wellKnown               = "/.well-known/"
	AuthorizationServerPath = wellKnown + "oauth-authorization-server"
	OpenIDConfigurationPath = wellKnown + "openid-configuration"
	ProtectedResourcePath   = wellKnown + "oauth-protected-resource"
	JWKSPath                = wellKnown + "jwks.json"
)

// ServerDocument is what our authorization server says about itself (RFC 8414
// section 2). It advertises what is enforced, and nothing else. Some of its members
// are those of ServerMetadata, where others may write them in other types.
type ServerDocument struct {
	Issuer                string                    `json:"issuer"`
	AuthorizationEndpoint string                    `json:"authorization_endpoint"`
	TokenEndpoint         string                    `json:"token_endpoint"`
	RegistrationEndpoint  string                    `json:"registration_endpoint,omitempty"`
	RevocationEndpoint    string                    `json:"revocation_endpoint"`
	IntrospectionEndpoint string                    `json:"introspection_endpoint"`
	JWKSURI               string                    `json:"jwks_uri,omitempty"`
	ServiceDocumentation  string                    `json:"service_documentation,omitempty"`
	ScopesSupported       []string                  `json:"scopes_supported,omitempty"`
	ResponseTypes         []string                  `json:"response_types_supported"`
	ResponseModes         []string                  `json:"response_modes_supported"`
	GrantTypes            []string                  `json:"grant_types_supported"`
	TokenAuthMethods      []string                  `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []jose.SignatureAlgorithm `json:"token_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods []string                  `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs    []jose.SignatureAlgorithm `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	IntrospectAuthMethods []string                  `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectAuthAlgs    []jose.SignatureAlgorithm `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	CodeChallengeMethods  []string                  `json:"code_challenge_methods_supported"`
	MetadataDocuments     bool                      `json:"client_id_metadata_document_supported,omitempty"`
	Iss                   bool                      `json:"authorization_response_iss_parameter_supported"` // RFC 9207 section 3
}

// ResourceDocument is what one of our servers says about itself (RFC 9728 section
// 2). Its ScopesSupported are the least a call needs, not the catalogue: clients
// that got no scope in a challenge ask for all of it.
type ResourceDocument struct {
	ResourceMetadata
	BearerMethodsSupported []string `json:"bearer_methods_supported"`
	ResourceName           string   `json:"resource_name,omitempty"`
	Documentation          string   `json:"resource_documentation,omitempty"`
	PolicyURI              string   `json:"resource_policy_uri,omitempty"`
	TOSURI                 string   `json:"resource_tos_uri,omitempty"`
}

// ResourceMetadataURL returns where the metadata of a server is (RFC 9728
// section 3.1), for the URL with or without a trailing slash. The server at
// the root of the site is named without it.
func ResourceMetadataURL(issuer, path string, slash bool) string {
	path = strings.TrimSuffix(path, "/")
	if slash && path != "" {
		path += "/"
	}
	return issuer + ProtectedResourcePath + path
}

// ServerMetadata is what an authorization server says about itself (RFC 8414
// section 2, OpenID Connect Discovery section 3).
type ServerMetadata struct {
	Issuer                   string  `json:"issuer"`
	AuthorizationEndpoint    string  `json:"authorization_endpoint"`
	TokenEndpoint            string  `json:"token_endpoint"`
	RegistrationEndpoint     string  `json:"registration_endpoint"`
	RevocationEndpoint       string  `json:"revocation_endpoint"`
	UserinfoEndpoint         string  `json:"userinfo_endpoint"`
	ScopesSupported          Strings `json:"scopes_supported"`
	AuthMethods              Strings `json:"token_endpoint_auth_methods_supported"`
	CodeChallengeMethods     Strings `json:"code_challenge_methods_supported"`
	ClientDocuments          Bool    `json:"client_id_metadata_document_supported"`
	AuthorizationResponseIss Bool    `json:"authorization_response_iss_parameter_supported"`
}

// ResourceMetadata is what clients need of what a protected resource says about
// itself (RFC 9728 section 2).
type ResourceMetadata struct {
	Resource             string  `json:"resource"`
	AuthorizationServers Strings `json:"authorization_servers"`
	ScopesSupported      Strings `json:"scopes_supported,omitempty"`
}
