package config

import (
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// Scope describes a scope for people.
type Scope struct {
	// Name is the scope, which a server has to have.
	Name string `json:"name"`
	// Description is what the consent page says that it allows.
	Description string `json:"description"`
}

func checkScopes(s *Site, _ Resolver) error {
	described := make(map[string]bool, len(s.Scopes))
	used := usedScopes(s)
	for i, scope := range s.Scopes {
		path := Index("scopes", i) + ".name"
		if err := checkScope(path, scope.Name); err != nil {
			return err
		}
		if described[scope.Name] {
			return Errorf(path, "%s is described twice; remove one", scope.Name)
		}
		if !slices.Contains(used, scope.Name) {
			return Errorf(path, "no server has the scope %s%s", scope.Name, Choice(scope.Name, used))
		}
		described[scope.Name] = true
	}
	return nil
}

// usedScopes returns the scopes that people can be asked for.
func usedScopes(s *Site) []string {
	var all []string
	for _, server := range s.Servers {
		all = append(all, server.Scopes...)
		all = append(all, server.OptionalScopes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// DescribeScope returns what people are told about a scope, or "".
func (s *Site) DescribeScope(name string) string {
	for _, scope := range s.Scopes {
		if scope.Name == name {
			return scope.Description
		}
	}
	return ""
}

// checkScope refuses what is no scope-token (RFC 6749 section 3.3), and a
// comma: it could be in one, but stands for a list that nobody would get.
func checkScope(path, scope string) error {
	if strings.Contains(scope, ",") {
		return Errorf(path, "%q has a comma; write each scope by itself, with a space between", scope)
	}
	if !oauth.ValidScopeToken(scope) {
		return Errorf(path, "%q is not a scope; use printable ASCII without space, quote and backslash", scope)
	}
	return nil
}
