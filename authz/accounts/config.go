package accounts

import "github.com/mcpoauth/caddy-mcp-oauth/authz/client"

// Config is what an operator decides about the upstream servers of one site.
// It is complete and valid when it reaches New.
type Config struct {
	// Issuer is the public URL of the site, as in package authz.
	Issuer string
	// Servers are all upstream servers, in the order people see them.
	Servers []Server
	// ClientName is what providers show people we are. Default: the host of Issuer.
	ClientName string
}

// Mode is whose credentials calls to an upstream server carry.
type Mode string

// The modes.
const (
	// None: no credentials.
	None Mode = "none"
	// Headers: fixed ones, which the operator configured.
	Headers Mode = "headers"
	// OAuth: one connection for everybody, which an operator makes.
	OAuth Mode = "oauth"
	// PerUserOAuth: each person's own connection.
	PerUserOAuth Mode = "per_user_oauth"
	// PerUserHeaders: a key that each person pastes.
	PerUserHeaders Mode = "per_user_headers"
)

// PerUser reports whether each person connects on their own.
func (m Mode) PerUser() bool { return m == PerUserOAuth || m == PerUserHeaders }

// Server is an upstream MCP server as its OAuth client sees it.
type Server struct {
	ID    string
	Title string
	// URL is the MCP endpoint.
	URL  string
	Mode Mode
	// Required servers must be connected before a person can finish.
	Required bool
	// Resource is the identifier the server goes by at its provider (RFC
	// 8707). Default: the canonical form of URL. Needed where the server is
	// reached by another address than its public one.
	Resource string
	// Scopes are asked of the provider. Default: those of the server's
	// challenge, else of its metadata, else none.
	Scopes []string
	// Client is how the provider knows us, if an operator registered us there.
	Client *Client
	// Issuer is the provider's. With endpoints, or where the server names
	// another one than its metadata does.
	Issuer string
	// AuthorizationEndpoint and TokenEndpoint belong to a provider without
	// discovery: set, nothing is discovered. RevocationEndpoint is optional.
	AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint string

	// AuthMethod is how we authenticate at the token endpoint. Default: what
	// the provider supports.
	AuthMethod string
	Quirks     client.Quirks
	// Headers are what a person is asked for, with PerUserHeaders.
	Headers []Header
	// VerifyURL answers 2xx to a GET with working headers. Default: the MCP
	// endpoint is asked who it is.
	VerifyURL string
}

// Client is a client that an operator registered with a provider.
type Client struct {
	ID string
	// Secret is empty for a public client, and with private_key_jwt.
	Secret string
	// CallbackPath is the path on our site that the provider sends browsers
	// to. Default: SharedCallbackPath.
	CallbackPath string
}

// Header is one request header that carries a person's key.
type Header struct {
	Name string
	// Label is what people are asked for.
	Label string
	// Prefix stands before the value that a person pastes, such as "Bearer ".
	Prefix string
}
