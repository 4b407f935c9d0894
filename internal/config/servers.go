package config

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// Server is an upstream MCP server behind the site.
type Server struct {
	// ID names the server in configuration, logs and placeholders:
	// letters, digits, `-` and `_`. Unique within the site.
	ID string `json:"id"`
	// Title is shown to people. Default: the id.
	Title string `json:"title,omitempty"`
	// ResourceDocumentation is the http or https URL of a page about the server,
	// for people who use or program clients. Clients find it in the server's
	// metadata (RFC 9728). Default: none.
	ResourceDocumentation string `json:"resource_documentation,omitempty"`
	// ResourcePolicyURI is the URL of a page that says how clients may use data
	// of the server. Default: none.
	ResourcePolicyURI string `json:"resource_policy_uri,omitempty"`
	// ResourceTOSURI is the URL of the server's terms of service. Default: none.
	ResourceTOSURI string `json:"resource_tos_uri,omitempty"`
	// Path is where clients reach the server on this site, exactly.
	Path string `json:"path"`
	// Upstream is the http or https URL of the MCP endpoint behind.
	Upstream string `json:"upstream"`
	// Headers are set on every request to the upstream: the shared
	// credential. Values may be placeholders such as `{env.TOKEN}`, which are
	// resolved once, when the configuration is loaded. Default: none.
	Headers map[string]string `json:"headers,omitempty"`
	// Auth says whose account at the upstream calls use, if somebody connects it
	// here. Default: that of Headers, or none.
	Auth *Auth `json:"auth,omitempty"`
	// Allow chooses who of those who sign in may use the server: `group:<name>`,
	// `domain:<domain of the e-mail address>`, `email:<address>` or
	// `claim:<name>=<value>`, one of which must fit what the identity provider says
	// of the person; `user:<name>`, a name that nobody else can have, such as an e-mail
	// address that was verified; or `key:<name of a virtual key>`. Virtual keys list
	// their servers themselves unless any is named here. Default: everybody.
	Allow []string `json:"allow,omitempty"`
	// Tools are the access rules for the server's tools, of which the first that
	// matches decides. A tool that is not allowed is in no list and cannot be called;
	// nor can one that no rule matches. Default: all tools, for whoever may use the
	// server.
	Tools []access.Rule `json:"tools,omitempty"`
	// Resources are the same for resources and resource templates. Default: all.
	Resources []access.Rule `json:"resources,omitempty"`
	// Prompts are the same for prompts. Default: all.
	Prompts []access.Rule `json:"prompts,omitempty"`
	// PinTools has the definitions of the server's tools remembered, and says what
	// happens when one changes or appears. Default: nothing, and none are remembered.
	PinTools *PinTools `json:"pin_tools,omitempty"`
	// Refusals is what a client is told when its person may not use something. One of:
	//
	// - `plain`: that there is no such thing, as the server would say. The default.
	// - `explain`: that, and the rule.
	Refusals string `json:"refusals,omitempty"`
	// Scopes a token needs for every call. Default: `mcp:use`.
	Scopes []string `json:"scopes,omitempty"`
	// OptionalScopes can be granted, and are left to the upstream to require: by
	// a 403 whose challenge says `insufficient_scope` and names them. Default: none.
	OptionalScopes []string `json:"optional_scopes,omitempty"`
	// IdentityHeaders tell the upstream who calls: header name to one of
	// `user` (the name people see), `identity` (unique: the kind of identity,
	// a colon, the name), `client`, `grant` or `scope`; of people whom an identity
	// provider knows, also `email` (if it is kept), `groups` (with commas between
	// them, without those that have one) and `name` (others may have the same).
	// `user` is refused where some way to sign in, such as `user_id`, lets people
	// choose a name that others must prove, and beside `oidc`, where people can
	// share one. What a client sends under these names never passes. Bytes other
	// than printable ASCII are percent-encoded, and values of more than 4 kB are
	// left out. Default: none.
	IdentityHeaders map[string]string `json:"identity_headers,omitempty"`
	// IdentityJWT is the header in which the server is told who calls, by a JWT
	// that this site signs: with the person, the client that acts for them, and this
	// server's URL as audience, good for a minute. In `Authorization` it is a bearer
	// token, which many MCP frameworks can verify without code. What a client sends
	// under this name never passes. Default: none.
	IdentityJWT string `json:"identity_jwt,omitempty"`
	// PassHeaders are request headers of clients that go on to the server,
	// besides those of MCP, content, caching and tracing: names, or beginnings
	// of names with `*`, such as `X-Toolset` or `X-Custom-*`. Credentials and
	// what servers trust about callers are refused, and what the site sets
	// itself never passes. Default: none.
	PassHeaders []string `json:"pass_headers,omitempty"`
	// MetricTools are tools of the server whose calls are counted one by one in the
	// metric `caddy_mcp_oauth_tool_calls_total`, at most 100; all others are counted
	// together, as `other`. It has the body of each call read. Default: none, and
	// no calls are counted by tool.
	MetricTools []string `json:"metric_tools,omitempty"`
	// ReverseProxy is the configuration of `http.handlers.reverse_proxy` for
	// this server. Its upstreams and TLS default to those of Upstream. Default: none,
	// and calls are forwarded without it, which costs less.
	ReverseProxy json.RawMessage `json:"reverse_proxy,omitempty"`

	// Resource is, once resolved, what the server is called in OAuth (RFC 8707,
	// RFC 9728), and the audience of its tokens: the issuer and the path,
	// without a trailing slash.
	Resource string `json:"-"`
	// URL is, once resolved, Upstream; nil while that has a placeholder which is
	// not known.
	URL *url.URL `json:"-"`
	// People are, once resolved, those of Allow; nil for everybody.
	People *access.People `json:"-"`
	// Rules are, once resolved, those of Tools, Resources and Prompts; nil if there are
	// none.
	Rules *access.Rules `json:"-"`
	// PassFilter is, once resolved, what of a client's request headers goes on to
	// the server.
	PassFilter *headers.Filter `json:"-"`
	// Account is the name of the account that the server is for, see ForAccount;
	// empty for a configured server.
	Account string `json:"-"`

	configured *Server // nil unless it is for an account
}

var (
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	pathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	toolPattern = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,128}$`)
)

func resolveServers(s *Site, resolve Resolver) error {
	if len(s.Servers) == 0 {
		return Errorf("servers", "there is nothing to protect; add `server <id> <path> <upstream URL>`")
	}
	s.Servers = slices.Clone(s.Servers)
	for i, configured := range s.Servers {
		server, path := new(Server), Index("servers", i)
		if configured != nil { // null in JSON is one that says nothing
			*server = *configured
		}
		s.Servers[i] = server
		if !idPattern.MatchString(server.ID) {
			return Errorf(path+".id", "%q is not an id; use letters, digits, - and _", server.ID)
		}
		if slices.ContainsFunc(s.Servers[:i], func(other *Server) bool { return other.ID == server.ID }) {
			return Errorf(path+".id", "the id %s is used twice; give each server its own", server.ID)
		}
		if err := checkServerPath(path+".path", server.Path); err != nil {
			return err
		}
		if at := slices.IndexFunc(s.Servers[:i], func(other *Server) bool { return other.Path == server.Path }); at >= 0 {
			return Errorf(path+".path", "the path %s is that of server %s too; give each server its own", server.Path, s.Servers[at].ID)
		}
		if err := server.resolve(path, s.Issuer, resolve); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) resolve(path, issuer string, resolve Resolver) error {
	known, err := resolve.replace(path+".upstream", &s.Upstream)
	if err != nil {
		return err
	}
	if known {
		if s.URL, err = parseUpstream(path+".upstream", s.Upstream, issuer); err != nil {
			return err
		}
	}
	if err := s.resolveHeaders(path, resolve); err != nil {
		return err
	}
	if err := s.resolveAccess(path); err != nil {
		return err
	}
	s.Title = cmp.Or(s.Title, s.ID)
	s.Resource = issuer + strings.TrimSuffix(s.Path, "/")
	if len(s.Scopes) == 0 {
		s.Scopes = []string{oauth.DefaultScope}
	}
	if err := s.checkScopes(path); err != nil {
		return err
	}
	if err := s.addScopesOfRules(path); err != nil {
		return err
	}
	if s.Auth != nil && s.Auth.Mode.PerUser() {
		s.OptionalScopes = append(slices.Clip(s.OptionalScopes), oauth.ConnectScope(s.ID))
	}
	if err := s.checkMetricTools(path + ".metric_tools"); err != nil {
		return err
	}
	return s.checkPages(path)
}

// maxMetricTools bounds how many series a server makes.
const maxMetricTools = 100

// OtherTools is what the tools are counted as that MetricTools does not name.
const OtherTools = "other"

func (s *Server) checkMetricTools(path string) error {
	if len(s.MetricTools) > maxMetricTools {
		return Errorf(path, "%d tools are too many to count one by one; name at most %d", len(s.MetricTools), maxMetricTools)
	}
	for i, name := range s.MetricTools {
		switch {
		case !toolPattern.MatchString(name):
			return Errorf(path, "%q is not the name of a tool; write it as the server does, with letters, digits, and . _ - /", name)
		case name == OtherTools:
			return Errorf(path, "%s stands for all tools that are not named; remove it", OtherTools)
		case slices.Contains(s.MetricTools[:i], name):
			return Errorf(path, "tool %s is listed twice; remove one", name)
		}
	}
	return nil
}

func (s *Server) checkPages(path string) error {
	for _, page := range []struct{ field, url string }{
		{".resource_documentation", s.ResourceDocumentation},
		{".resource_policy_uri", s.ResourcePolicyURI},
		{".resource_tos_uri", s.ResourceTOSURI},
	} {
		if err := checkPageURL(path+page.field, page.url); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) checkScopes(path string) error {
	seen := map[string]bool{}
	for _, l := range []struct {
		field  string
		scopes []string
	}{{".scopes", s.Scopes}, {".optional_scopes", s.OptionalScopes}} {
		for _, scope := range l.scopes {
			switch err := checkScope(path+l.field, scope); {
			case err != nil:
				return err
			case scope == oauth.OfflineAccess: // asked of us alone, so no token would ever have it
				return Errorf(path+l.field, "offline_access is not a scope of a server; remove it")
			case strings.HasPrefix(scope, oauth.ConnectScope("")):
				return Errorf(path+l.field, "scopes that start with %s are made for servers that people connect; choose another name", oauth.ConnectScope(""))
			case seen[scope]:
				return Errorf(path+l.field, "scope %s is listed twice; remove one", scope)
			}
			seen[scope] = true
		}
	}
	return nil
}

// checkServerPath keeps the paths of servers unambiguous and apart from our
// own endpoints.
func checkServerPath(field, path string) error {
	if path == "/" {
		return nil
	}
	if !isPath(path) {
		return Errorf(field, "%q is not a path for a server; write it as /mcp or /mcp/name, without trailing slash and wildcards", path)
	}
	if reserved(path) {
		return Errorf(field, "the path %s is needed by the authorization server; choose another, such as /mcp", path)
	}
	return nil
}

func isPath(text string) bool {
	return pathPattern.MatchString(text) && !slices.ContainsFunc(strings.Split(text, "/"), func(segment string) bool { return segment == "." || segment == ".." })
}

// Paths returns the paths a server answers at. People type a trailing slash
// where none belongs, and clients keep what people type.
func (s *Server) Paths() []string {
	if s.Path == "/" {
		return []string{s.Path}
	}
	return []string{s.Path, s.Path + "/"}
}

// IdentityJWTPrefix is what stands in the header before the JWT.
func (s *Server) IdentityJWTPrefix() string {
	if headers.Fold(s.IdentityJWT) == "authorization" {
		return "Bearer "
	}
	return ""
}

// HasScope reports whether tokens for the server can have the scope.
func (s *Server) HasScope(scope string) bool {
	return slices.Contains(s.Scopes, scope) || slices.Contains(s.OptionalScopes, scope)
}
