package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
)

// Identity is one way for people to say or prove who they are.
type Identity struct {
	// Kind is one of:
	//
	// - `virtual_key`: the person enters a key listed in `virtual_keys`.
	// - `user_id`: the person says who they are and is believed. Only for
	//   setups where nobody has a reason to lie.
	// - `anonymous`: "Skip"; nobody in particular.
	// - `caddy`: the user that another Caddy handler authenticated, see `user`.
	Kind string `json:"kind"`
	// User is the placeholder that names the user, for `caddy`. Only those that
	// no client can write are accepted:
	//
	// - `{http.auth.user.id}` of `basic_auth` and other authentication handlers.
	// - `{http.reverse_proxy.header.Remote-User}`, `{rp.header.Remote-User}` in
	//   a Caddyfile: a header that the server behind `forward_auth` answered
	//   with. It is there for requests that this server let pass, and no other.
	// - `{http.request.tls.client.subject}` and the like: of a certificate that
	//   Caddy has verified.
	// - `{http.vars.…}`: a variable that your configuration sets. Never set it
	//   from a request header.
	//
	// Default: `{http.auth.user.id}`.
	User string `json:"user,omitempty"`
	// Recheck is, for `caddy`, how long what a person approved can be used
	// without them: within that time they must come through the other handler
	// again, by approving the client or visiting the account page. Then clients
	// sign the person in again. Default: 24h.
	Recheck caddy.Duration `json:"recheck,omitempty"`
}

// VirtualKey is a secret that an operator hands to a person or a program. It
// signs a person in, and works as a bearer token on the MCP servers.
type VirtualKey struct {
	// Name is whom the key stands for. Unique within the site.
	Name string `json:"name"`
	// Key is `sha256:` and the hash of the key in hexadecimal, or a
	// placeholder such as `{env.ALICE_KEY}` for the key itself. A key
	// has at least 16 characters and must be random: it is what protects
	// the person's access.
	Key string `json:"key"`
	// Servers are the ids of the MCP servers the key is good for. Default: all.
	Servers []string `json:"servers,omitempty"`
}

// Client is an OAuth client the operator knows beforehand, and vouches for.
type Client struct {
	// ID is the client_id.
	ID string `json:"id"`
	// Name is shown on the consent page. Default: the id.
	Name string `json:"name,omitempty"`
	// Secret makes the client confidential: a placeholder such as
	// `{env.SECRET}` for its secret, or `sha256:` and the hash in hexadecimal.
	Secret string `json:"secret,omitempty"`
	// RedirectURIs are compared exactly, except for the port of http on
	// loopback. At least one, unless the client only introspects.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// JWKSURI is where the client publishes the keys for private_key_jwt.
	JWKSURI string `json:"jwks_uri,omitempty"`
	// JWKS are the keys themselves (RFC 7517). Exclusive with JWKSURI and Secret.
	JWKS json.RawMessage `json:"jwks,omitempty"`
	// Introspect lets the client introspect all tokens of the site. It must
	// be able to authenticate.
	Introspect bool `json:"introspect,omitempty"`
}

// Server is an upstream MCP server behind the site.
type Server struct {
	// ID names the server in configuration, logs and placeholders:
	// letters, digits, `-` and `_`. Unique within the site.
	ID string `json:"id"`
	// Title is shown to people. Default: the id.
	Title string `json:"title,omitempty"`
	// ResourceDocumentation is the http or https URL of a page about the server,
	// for people who use or program clients. Clients find it in the server's
	// metadata (RFC 9728).
	ResourceDocumentation string `json:"resource_documentation,omitempty"`
	// ResourcePolicyURI is the URL of a page that says how clients may use data
	// of the server.
	ResourcePolicyURI string `json:"resource_policy_uri,omitempty"`
	// ResourceTOSURI is the URL of the server's terms of service.
	ResourceTOSURI string `json:"resource_tos_uri,omitempty"`
	// Path is where clients reach the server on this site, exactly.
	Path string `json:"path"`
	// Upstream is the http or https URL of the MCP endpoint behind.
	Upstream string `json:"upstream"`
	// Headers are set on every request to the upstream: the shared
	// credential. Values may be placeholders such as `{env.TOKEN}`, which are
	// resolved once, when the configuration is loaded.
	Headers map[string]string `json:"headers,omitempty"`
	// Auth says whose account at the upstream calls use, if somebody connects it
	// here. Default: that of Headers, or none.
	Auth *Auth `json:"auth,omitempty"`
	// Scopes a token needs for every call. Default: `mcp:use`.
	Scopes []string `json:"scopes,omitempty"`
	// OptionalScopes can be granted, and are left to the upstream to require: by
	// a 403 whose challenge says `insufficient_scope` and names them.
	OptionalScopes []string `json:"optional_scopes,omitempty"`
	// IdentityHeaders tell the upstream who calls: header name to one of
	// `user` (the name people see), `identity` (unique: the kind of identity,
	// a colon, the name), `client`, `grant` or `scope`. `user` is refused where
	// `user_id` lets anybody choose a name that others must prove. What a client
	// sends under these names never passes. Bytes other than printable ASCII
	// are percent-encoded.
	IdentityHeaders map[string]string `json:"identity_headers,omitempty"`
	// PassHeaders are request headers of clients that go on to the server,
	// besides those of MCP, content, caching and tracing: names, or beginnings
	// of names with `*`, such as `X-Toolset` or `X-Custom-*`. Credentials and
	// what servers believe about callers are refused, and what the site sets
	// itself never passes. Default: none.
	PassHeaders []string `json:"pass_headers,omitempty"`
	// ReverseProxy is the configuration of `http.handlers.reverse_proxy` for
	// this server. Its upstreams and TLS default to those of Upstream.
	ReverseProxy json.RawMessage `json:"reverse_proxy,omitempty"`
}

// Scope describes a scope for people.
type Scope struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// Registration is the policy for clients that the operator does not know.
type Registration struct {
	// Dynamic serves dynamic registration (RFC 7591, RFC 7592). Default: true.
	Dynamic *bool `json:"dynamic,omitempty"`
	// MetadataDocuments accepts https URLs as client ids. Default: true.
	MetadataDocuments *bool `json:"metadata_documents,omitempty"`
	// AllowHosts are the only hosts metadata documents are accepted from.
	// `.example.com` means all below it. Default: any public host.
	AllowHosts []string `json:"allow_hosts,omitempty"`
	// DenyHosts are never accepted.
	DenyHosts []string `json:"deny_hosts,omitempty"`
	// InitialAccessToken is needed to register, as a bearer token. A
	// placeholder, or `sha256:` and the hash in hexadecimal. Default: none.
	InitialAccessToken string `json:"initial_access_token,omitempty"`
	// RateLimit is how many registrations one address may make per minute, and
	// how often people there may sign in without proving who they are; 0 sets
	// no limit. Default: 60.
	RateLimit *int `json:"rate_limit,omitempty"`
	// MaxUnused is how many registrations that nobody approved are kept;
	// 0 sets no bound. Default: 10000.
	MaxUnused *int `json:"max_unused,omitempty"`
	// MaxUnproved is how many registrations are kept, for each address, that
	// only people there approved who proved nothing (user_id, anonymous), and
	// how many grants and browser sessions of such people; 0 sets no bound.
	// Default: 1000.
	MaxUnproved *int `json:"max_unproved,omitempty"`
	// UnusedLifetime is how long one is kept that nobody approved. Default: 24h.
	UnusedLifetime caddy.Duration `json:"unused_lifetime,omitempty"`
	// RedirectSchemes are private-use redirect schemes, allowed in addition
	// to https, http on loopback and those of the well-known editors.
	RedirectSchemes []string `json:"redirect_schemes,omitempty"`
}

// Branding adapts the pages people see.
type Branding struct {
	// Name is whose pages they are. Default: the host of the public URL.
	Name string `json:"name,omitempty"`
	// Accent is the colour of buttons, as `#rrggbb`.
	Accent string `json:"accent,omitempty"`
}
