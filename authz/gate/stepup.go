package gate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
)

// StepUp refuses a call for which an upstream wants more scopes than every call
// needs: 403 with insufficient_scope (RFC 6750 section 3.1), upon which the
// client asks the person for them. It reports whether it did. It does nothing
// unless the caller lacks a scope, and all of them are this server's: what is
// not for us to grant would send the client round in circles.
func (g *Gate) StepUp(w http.ResponseWriter, r *http.Request, c *tokens.Caller, needed []string) bool {
	scopes := strings.Fields(c.Scope)
	granted := len(scopes)
	for _, s := range needed {
		if !g.server.HasScope(s) {
			return false
		}
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	if len(scopes) == granted {
		return false
	}
	g.challengeScope(w, r, scopes)
	return true
}
