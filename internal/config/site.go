package config

import (
	"cmp"
	"net/url"
	"regexp"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity/oidc"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Site is the configuration of one site.
type Site struct {
	// PublicURL is the URL of the site as people and clients see it: scheme
	// and host, no path. https, except on loopback. It is the issuer of all
	// tokens, so changing it ends them. In a Caddyfile it defaults to the
	// address of the site; it is never taken from a request.
	PublicURL string `json:"public_url,omitempty"`
	// Identities are the ways to sign in, in the order people see them. At
	// least one.
	Identities []Identity `json:"identities,omitempty"`
	// VirtualKeys of people and programs. Default: none.
	VirtualKeys []VirtualKey `json:"virtual_keys,omitempty"`
	// Clients known beforehand. All others register themselves, see Registration.
	// Default: none.
	Clients []Client `json:"clients,omitempty"`
	// Servers are the MCP servers behind the site, in the order people see
	// them. At least one.
	Servers []*Server `json:"servers,omitempty"`
	// Scopes describes scopes to people, in their order. Default: people read the
	// scopes themselves.
	Scopes []Scope `json:"scopes,omitempty"`

	Lifetimes

	// AccessTokenFormat is one of:
	//
	// - `opaque`: random, and known to this site alone. The default.
	// - `jwt`: signed by this site (RFC 9068), so that a server behind can tell by
	//   itself whose call it is, with the keys at `/.well-known/jwks.json`. A call
	//   through this site is refused at once when its token was revoked, as ever.
	//
	// Tokens of the other format are good until they end.
	AccessTokenFormat string `json:"access_token_format,omitempty"`
	// AccessTokenClaims are what an access token in the format `jwt` says of the
	// person, where it is known: `email`, `groups`, `name`, and others that the
	// identity keeps. Whoever has the token can read them. Default: none.
	AccessTokenClaims []string `json:"access_token_claims,omitempty"`
	// Signing is how this site signs. Default: as its fields say.
	Signing *Signing `json:"signing,omitempty"`

	// ServiceDocumentation is the http or https URL of a page about this site, for
	// people who program clients. Clients find it in the metadata of the
	// authorization server (RFC 8414). Default: none.
	ServiceDocumentation string `json:"service_documentation,omitempty"`
	// Registration is the policy for clients nobody knows beforehand. Default: as its
	// fields say.
	Registration *Registration `json:"registration,omitempty"`
	// AllowedOrigins are web origins, such as `https://app.example.com` or
	// `chrome-extension://<id>`, whose pages may call the MCP servers, besides
	// this site's and loopback ones. They are compared byte for byte. Default: none
	// besides those.
	AllowedOrigins []string `json:"allowed_origins,omitempty"`
	// Audit is whether there is an audit log: who signed in, what operators did, and
	// each call with its person, client, server, tool, account and outcome. It is
	// the log `mcp_oauth_audit` of Caddy's. One of:
	//
	// - `on`: a call has one line, when it has ended.
	// - `required`: it has another one before it is sent to its server. If that
	//   cannot be written, the call is answered 503 and goes nowhere.
	//
	// Default: none.
	Audit string `json:"audit,omitempty"`
	// Branding adapts the pages people see. Default: as its fields say.
	Branding *Branding `json:"branding,omitempty"`
	// InsecureAllowLoopback lets client metadata documents and what upstream
	// servers name, such as their providers, be fetched from loopback addresses
	// and over http. For development: only with a loopback public URL.
	InsecureAllowLoopback bool `json:"insecure_allow_loopback,omitempty"`

	// Issuer is, once resolved, the public URL in the one form that everything
	// else is compared with, byte by byte (RFC 8414 section 3.3).
	Issuer string `json:"-"`
	// Keys are, once resolved, those of VirtualKeys.
	Keys *identity.VirtualKeys `json:"-"`
	// SignIn are, once resolved, the ways of Identities, and behind them those of
	// programs, which pages do not show.
	SignIn identity.Methods `json:"-"`
	// Providers are, once resolved, the OpenID Connect providers among them.
	Providers []*oidc.Provider `json:"-"`
}

// Branding adapts the pages people see.
type Branding struct {
	// Name is whose pages they are. Default: the host of the public URL.
	Name string `json:"name,omitempty"`
	// Accent is the colour of buttons, as `#rrggbb`. Default: the pages' own.
	Accent string `json:"accent,omitempty"`
	// Logo is the path of an image of at most 64 KiB, PNG, JPEG, WebP, GIF or SVG,
	// shown beside the name. It is read when the configuration is loaded. Default:
	// none.
	Logo string `json:"logo,omitempty"`
}

// Resolve returns what the run time uses: the configuration with its
// placeholders replaced, defaults for what was left out, and what follows from
// it. What has a default is never nil in it. Or it returns the first error in the
// configuration: it is the only judge. It runs when a Caddyfile is adapted,
// where placeholders are not known yet, and again when any configuration is
// loaded. The receiver is not changed.
func (s *Site) Resolve(resolve Resolver) (*Site, error) {
	r := *s
	for _, step := range []func(*Site, Resolver) error{
		resolvePublicURL, checkDocumentation, resolveServers, resolveAuth, resolvePassHeaders,
		resolveIdentities, resolveVirtualKeys, resolveClients, resolveSignIn, checkIdentityHeaders, checkAccessNames,
		resolveRegistration, checkClients, checkScopes, resolveLifetimes, resolveServiceLifetimes, resolveSigning,
		checkOrigins, checkAudit, resolveBranding, checkInsecure,
	} {
		if err := step(&r, resolve); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

func resolvePublicURL(s *Site, resolve Resolver) error {
	text, known, err := resolve(s.PublicURL)
	if err != nil {
		return Errorf("public_url", "%v", err)
	}
	if known {
		s.Issuer, err = parsePublicURL(text)
	}
	return err
}

// Host returns the host name of the site.
func (s *Site) Host() string {
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func checkDocumentation(s *Site, _ Resolver) error {
	return checkPageURL("service_documentation", s.ServiceDocumentation)
}

// Origins are those whose pages may call the MCP servers.
func (s *Site) Origins() oauth.Origins {
	return oauth.Origins{Site: s.Issuer, Listed: s.AllowedOrigins}
}

func checkOrigins(s *Site, _ Resolver) error {
	for i, o := range s.AllowedOrigins {
		if !validOrigin(o) {
			return Errorf(Index("allowed_origins", i), "%q is not a web origin; write scheme and host only, such as https://app.example.com", o)
		}
	}
	return nil
}

// The values of Audit.
const (
	AuditOn       = "on"
	AuditRequired = "required"
)

func checkAudit(s *Site, _ Resolver) error {
	switch s.Audit {
	case "", AuditOn, AuditRequired:
		return nil
	}
	return Errorf("audit", "%q is neither on nor required; leave it out for no audit log", s.Audit)
}

var accentPattern = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

func resolveBranding(s *Site, resolve Resolver) error {
	var b Branding
	if s.Branding != nil {
		b = *s.Branding
	}
	if b.Accent != "" && !accentPattern.MatchString(b.Accent) {
		return Errorf("branding.accent", "%q is not a colour; write it as #rrggbb, in quotes", b.Accent)
	}
	if _, err := resolve.replace("branding.logo", &b.Logo); err != nil {
		return err
	}
	b.Name = cmp.Or(b.Name, s.Host())
	s.Branding = &b
	return nil
}

// checkInsecure keeps what makes development easy out of production.
func checkInsecure(s *Site, _ Resolver) error {
	if s.InsecureAllowLoopback && s.Issuer != "" && !IsLoopbackURL(s.Issuer) {
		return Errorf("insecure_allow_loopback", "only allowed while public_url is on loopback; remove it")
	}
	return nil
}
