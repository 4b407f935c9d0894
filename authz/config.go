package authz

import (
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Config is what an operator decides about one authorization server and the
// MCP servers it protects. It is complete and valid when it reaches New.
type Config struct {
	// Issuer is the public URL of the site: scheme and host, no path, no
	// trailing slash. The same bytes everywhere (RFC 8414 section 3.3).
	Issuer string
	// Documentation is the URL of a page for people who write clients, or empty
	// (RFC 8414 section 2).
	Documentation string
	// Servers are the MCP servers, in the order people see them.
	Servers []Server
	// Clients are the pre-registered clients.
	Clients []Client
	// SignIn are the ways to say or prove who one is, in the order people see
	// them.
	SignIn identity.Methods
	// VirtualKeys are bearers; nil if there are none.
	VirtualKeys *identity.VirtualKeys
	// Scopes describes scopes for people, by name. A scope without an entry is
	// shown by its name.
	Scopes       map[string]string
	Lifetimes    Lifetimes
	Registration Registration
	// AllowedOrigins are further web origins whose pages may call the MCP
	// servers. The site's own and loopback origins always may.
	AllowedOrigins []string
	// RefreshReuseGrace is how long a client that lost a refresh response can
	// ask again and get the same one. 0 revokes on any reuse.
	RefreshReuseGrace time.Duration
}

// origins are those whose pages may call the MCP servers.
func (cfg *Config) origins() oauth.Origins {
	return oauth.Origins{Site: cfg.Issuer, Listed: cfg.AllowedOrigins}
}

// Server is an upstream MCP server as the authorization server sees it: a
// protected resource (RFC 8707, RFC 9728).
type Server struct {
	ID    string
	Title string
	// Path is where clients reach it on the site, such as /mcp.
	Path string
	// Resource is its identifier, and the audience of its tokens: Issuer + Path
	// without a trailing slash, so just Issuer for the path /.
	Resource string
	// Scopes are needed for every call.
	Scopes []string
	// OptionalScopes can be granted but are not needed for every call.
	OptionalScopes []string
	// Documentation, Policy and TermsOfService are URLs of pages for people, or
	// empty (RFC 9728 section 2).
	Documentation, Policy, TermsOfService string
}

// Lifetimes of what the authorization server issues.
type Lifetimes struct {
	Flow         time.Duration // an authorization request waiting for a person
	Code         time.Duration
	AccessToken  time.Duration
	RefreshToken time.Duration // of inactivity
	// Grant ends a grant without refresh token, AbsoluteGrant any other,
	// however active it is.
	Grant         time.Duration
	AbsoluteGrant time.Duration
}

// DefaultLifetimes are used where the operator says nothing.
var DefaultLifetimes = Lifetimes{
	Flow:          15 * time.Minute,
	Code:          5 * time.Minute,
	AccessToken:   time.Hour,
	RefreshToken:  30 * 24 * time.Hour,
	Grant:         24 * time.Hour,
	AbsoluteGrant: 90 * 24 * time.Hour,
}

// DefaultRecheck is how long somebody who was removed elsewhere keeps access.
const DefaultRecheck = 24 * time.Hour

// DefaultRefreshReuseGrace outlasts the timeout of a client that tries again.
const DefaultRefreshReuseGrace = time.Minute

// Registration is the policy for clients nobody registered beforehand.
type Registration struct {
	// Dynamic serves RFC 7591 and RFC 7592.
	Dynamic bool
	// MetadataDocuments accepts https URLs as client IDs.
	MetadataDocuments bool
	// AllowedHosts, if any, are the only hosts whose metadata documents are
	// accepted; DeniedHosts never are. ".example.com" means all below it.
	AllowedHosts, DeniedHosts []string
	// InitialAccessToken, if set, is required to register (RFC 7591 section 3).
	InitialAccessToken *storage.Hash
	// RatePerMinute bounds, for each address, registrations and as many
	// sign-ins that prove nothing; 0 sets no bound.
	RatePerMinute int
	// MaxUnused bounds registrations that nobody approved yet, MaxUnproved, for
	// each address, those that only people there approved who proved nothing,
	// and the grants of such people.
	MaxUnused, MaxUnproved int
	// UnusedLifetime is how long a registration is kept that nobody approved,
	// UsedLifetime how long one that somebody approved is kept after its last
	// grant has ended.
	UnusedLifetime, UsedLifetime time.Duration
	// RedirectSchemes are the private-use schemes allowed besides https and
	// loopback http (RFC 8252 section 7.1).
	RedirectSchemes []string
}

// DefaultRegistration is used where the operator says nothing.
var DefaultRegistration = Registration{
	Dynamic:           true,
	MetadataDocuments: true,
	RatePerMinute:     60,
	MaxUnused:         10_000,
	MaxUnproved:       1_000,
	UnusedLifetime:    24 * time.Hour,
	UsedLifetime:      90 * 24 * time.Hour,
	RedirectSchemes:   oauth.KnownRedirectSchemes,
}
