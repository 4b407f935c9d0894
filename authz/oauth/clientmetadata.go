package oauth

import "encoding/json"

// Grant types of RFC 7591 section 2 that this server knows.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	// GrantClientCredentials is for clients that an operator configured.
	GrantClientCredentials = "client_credentials"
	// GrantTokenExchange (RFC 8693) and GrantJWTBearer (RFC 7523) are for programs for
	// which another system vouches.
	GrantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	GrantJWTBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

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

	// AuthSecretEither is client_secret_basic or client_secret_post: nobody
	// said which. Of a client that registered itself it is none as well.
	AuthSecretEither = ""
)

// JWTBearerAssertion is the client_assertion_type of private_key_jwt (RFC 7523
// section 2.2).
const JWTBearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Published returns the metadata as others may read it. A method that was not
// chosen is the default one (RFC 7591 section 2).
func (m ClientMetadata) Published() ClientMetadata {
	if m.TokenEndpointAuthMethod == AuthSecretEither {
		m.TokenEndpointAuthMethod = AuthSecretBasic
	}
	return m
}
