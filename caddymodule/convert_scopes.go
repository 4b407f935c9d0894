package caddymodule

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

func (h *Handler) convertScopes(cfg *authz.Config, _ resolver) error {
	cfg.Scopes = make(map[string]string, len(h.Scopes))
	used := usedScopes(cfg.Servers)
	for i, s := range h.Scopes {
		path := index("scopes", i)
		if err := checkScope(path+".name", s.Name); err != nil {
			return err
		}
		if _, twice := cfg.Scopes[s.Name]; twice {
			return wrong(path+".name", "%s is described twice; remove one", s.Name)
		}
		if !slices.Contains(used, s.Name) {
			return wrong(path+".name", "no server has the scope %s%s", s.Name, choice(s.Name, used))
		}
		cfg.Scopes[s.Name] = s.Description
	}
	return nil
}

// usedScopes returns the scopes that people can be asked for.
func usedScopes(servers []authz.Server) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.Scopes...)
		all = append(all, s.OptionalScopes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkScope refuses what is no scope-token (RFC 6749 section 3.3), and a
// comma: it could be in one, but stands for a list that nobody would get.
func checkScope(path, scope string) error {
	if strings.Contains(scope, ",") {
		return wrong(path, "%q has a comma; write each scope by itself, with a space between", scope)
	}
	if !validScope(scope) {
		return wrong(path, "%q is not a scope; use printable ASCII without space, quote and backslash", scope)
	}
	return nil
}

// validScope checks a scope-token (RFC 6749 section 3.3).
func validScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
