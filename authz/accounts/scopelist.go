package accounts

import (
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// maxScopeTokenLen is longer than any scope that a provider can be asked for.
const maxScopeTokenLen = 16 << 10

// scopeTokens returns the scopes in s (RFC 6749 section 3.3), each once.
func scopeTokens(s string) []string { return unionScopes(strings.Fields(s)) }

// unionScopes returns the scopes of all lists, each once, without what is none.
func unionScopes(lists ...[]string) []string {
	var all []string
	seen := map[string]bool{}
	for _, list := range lists {
		for _, s := range list {
			if len(s) <= maxScopeTokenLen && oauth.ValidScopeToken(s) && !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}
