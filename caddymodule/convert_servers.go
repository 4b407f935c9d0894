package caddymodule

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

var (
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	pathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
)

func (h *Handler) convertServers(cfg *authz.Config, resolve resolver) error {
	if len(h.Servers) == 0 {
		return wrong("servers", "there is nothing to protect; add `server <id> <path> <upstream URL>`")
	}
	ids, paths := map[string]bool{}, map[string]string{}
	for i, s := range h.Servers {
		path := index("servers", i)
		if !idPattern.MatchString(s.ID) {
			return wrong(path+".id", "%q is not an id; use letters, digits, - and _", s.ID)
		}
		if ids[s.ID] {
			return wrong(path+".id", "the id %s is used twice; give each server its own", s.ID)
		}
		ids[s.ID] = true
		if err := checkServerPath(path+".path", s.Path); err != nil {
			return err
		}
		if other, taken := paths[s.Path]; taken {
			return wrong(path+".path", "the path %s is that of server %s too; give each server its own", s.Path, other)
		}
		paths[s.Path] = s.ID
		if _, err := newUpstreamTarget(path, s, cfg.Issuer, resolve); err != nil {
			return err
		}
		server, err := convertServer(path, s, cfg.Issuer)
		if err != nil {
			return err
		}
		if err := s.setPages(path, &server); err != nil {
			return err
		}
		cfg.Servers = append(cfg.Servers, server)
	}
	return nil
}

func convertServer(path string, s Server, issuer string) (authz.Server, error) {
	server := authz.Server{
		ID: s.ID, Title: s.Title, Path: s.Path, Resource: issuer + strings.TrimSuffix(s.Path, "/"),
		Scopes: s.Scopes, OptionalScopes: s.OptionalScopes,
	}
	if server.Title == "" {
		server.Title = s.ID
	}
	if len(server.Scopes) == 0 {
		server.Scopes = []string{defaultScope}
	}
	if err := checkServerScopes(path, server); err != nil {
		return server, err
	}
	if s.Auth != nil && accounts.Mode(s.Auth.Mode).PerUser() {
		server.OptionalScopes = append(slices.Clip(server.OptionalScopes), oauth.ConnectScope(s.ID))
	}
	return server, nil
}

// setPages takes over the URLs of pages for people.
func (s *Server) setPages(path string, to *authz.Server) error {
	for _, page := range []struct {
		field, url string
		to         *string
	}{
		{".resource_documentation", s.ResourceDocumentation, &to.Documentation},
		{".resource_policy_uri", s.ResourcePolicyURI, &to.Policy},
		{".resource_tos_uri", s.ResourceTOSURI, &to.TermsOfService},
	} {
		if err := checkPageURL(path+page.field, page.url); err != nil {
			return err
		}
		*page.to = page.url
	}
	return nil
}

func checkServerScopes(path string, s authz.Server) error {
	seen := map[string]bool{}
	for _, l := range []struct {
		field  string
		scopes []string
	}{{".scopes", s.Scopes}, {".optional_scopes", s.OptionalScopes}} {
		for _, scope := range l.scopes {
			switch err := checkScope(path+l.field, scope); {
			case err != nil:
				return err
			case scope == "offline_access": // asked of us alone, so no token would ever have it
				return wrong(path+l.field, "offline_access is not a scope of a server; remove it")
			case strings.HasPrefix(scope, oauth.ConnectScope("")):
				return wrong(path+l.field, "scopes that start with %s are made for servers that people connect; choose another name", oauth.ConnectScope(""))
			case seen[scope]:
				return wrong(path+l.field, "scope %s is listed twice; remove one", scope)
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
	if !pathPattern.MatchString(path) || slices.ContainsFunc(strings.Split(path, "/"), dots) {
		return wrong(field, "%q is not a path for a server; write it as /mcp or /mcp/name, without trailing slash and wildcards", path)
	}
	if reserved(path) {
		return wrong(field, "the path %s is needed by the authorization server; choose another, such as /mcp", path)
	}
	return nil
}

func dots(segment string) bool { return segment == "." || segment == ".." }

// checkIdentityHeaders refuses to tell an upstream the bare names of people
// where some prove theirs and others choose it: anybody could be anybody.
func (h *Handler) checkIdentityHeaders(cfg *authz.Config, _ resolver) error {
	proven := len(h.VirtualKeys) > 0 || slices.Contains(cfg.Identities, identity.Caddy)
	if !proven || !slices.Contains(cfg.Identities, identity.UserID) {
		return nil
	}
	for i, s := range h.Servers {
		for name, claim := range s.IdentityHeaders {
			if claim == "user" {
				return wrong(index("servers", i)+".identity_headers."+name, "with `identity user_id`, anybody can choose the name of a user who signs in otherwise; use the value identity, which tells them apart")
			}
		}
	}
	return nil
}

// checkUpstreamHeader refuses headers that the proxy or the protocol owns.
func checkUpstreamHeader(path, name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return wrong(path, "%q is not a header name", name)
	}
	canonical, folded := http.CanonicalHeaderKey(name), headers.Fold(name)
	if strings.HasPrefix(folded, headers.Fold(headers.MCPPrefix)) {
		return wrong(path, "the header %s belongs to the protocol; use another name", canonical)
	}
	if slices.Contains(protocolHeaders, folded) {
		return wrong(path, "the header %s belongs to the protocol; remove it", canonical)
	}
	return nil
}

// protocolHeaders are those of HTTP and MCP that no option may set.
var protocolHeaders = []string{
	"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-length", "content-type", "content-encoding", "accept", "last-event-id",
}
