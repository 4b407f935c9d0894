package gateway

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// makeStatement is the fourth stage, for servers that want to be told who calls
// under our signature. It reports whether the call goes on: without the statement it
// does not.
func (c *Call) makeStatement(w http.ResponseWriter, r *http.Request) bool {
	if c.server.IdentityJWT == "" {
		return true
	}
	var err error
	if c.statement, err = c.server.Site.Statements.Values(r.Context(), c.caller, c.server.Server); err != nil {
		oauth.WriteError(w, c.server.Site.Log, oauth.Unavailable(err))
		return false
	}
	return true
}
