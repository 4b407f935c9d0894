package oauth

import (
	"slices"
	"strings"
)

// DefaultScope is what calls of a server need whose operator says nothing.
const DefaultScope = "mcp:use"

// DefaultScopeWords is what people read of it.
const DefaultScopeWords = "Use all its tools, and read what it offers"

// OfflineAccess is what some clients add to ask for a refresh token. It
// is tolerated, never granted: the registered grant types decide.
const OfflineAccess = "offline_access"

// ParseScope returns the distinct scope tokens (RFC 6749 section 3.3), without
// offline_access.
func ParseScope(s string) ([]string, error) {
	var scope []string
	for token := range strings.SplitSeq(s, " ") {
		if token == "" || token == OfflineAccess || slices.Contains(scope, token) {
			continue
		}
		if !ValidScopeToken(token) {
			return nil, NewError("invalid_scope", "The scope is malformed.")
		}
		scope = append(scope, token)
	}
	return scope, nil
}

// ValidScopeToken reports whether s is a scope-token (RFC 6749 section 3.3).
func ValidScopeToken(s string) bool {
	return s != "" && VisibleASCII(s) && !strings.ContainsAny(s, `"\`)
}

// VisibleASCII reports whether s is of visible ASCII characters only.
func VisibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// ConnectScope is an optional scope of a server that people connect on their
// own. A grant has it if the person had a connection when they approved it, so
// a challenge that asks for it leads a client back to where they connect.
func ConnectScope(server string) string { return "connect:" + server }

// WithoutOfflineAccess returns the scopes that a resource may name in a
// challenge or in its metadata. offline_access is asked of the authorization
// server (MCP authorization, refresh tokens).
func WithoutOfflineAccess(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == OfflineAccess })
}

// maxScopeTokenLen is longer than any scope that a provider can be asked for.
const maxScopeTokenLen = 16 << 10

// scopesOf returns the scopes in s (RFC 6749 section 3.3), each once.
func scopesOf(s string) []string { return UnionScopes(strings.Fields(s)) }

// UnionScopes returns the scopes of all lists, each once, without what is none.
func UnionScopes(lists ...[]string) []string {
	var all []string
	seen := map[string]bool{}
	for _, list := range lists {
		for _, s := range list {
			if len(s) <= maxScopeTokenLen && ValidScopeToken(s) && !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}
