package gateway

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// makeStatement is the fourth stage, for servers that want to be told who calls
// under our signature. It reports whether the call goes on: without the statement it
// does not.
func (c *Call) makeStatement(w http.ResponseWriter, r *http.Request) bool {
	if c.server.IdentityJWT == "" {
		return true
	}
	var err error
	if c.statement, err = c.server.Site.Statements.Values(r.Context(), c.caller, c.server.Configured()); err != nil {
		answer := oauth.Unavailable(err)
		happened := answer.Event(event.CallFailed)
		happened.Kind, happened.Reason = event.CallFailed, "statement_unsigned"
		answer.Answer(w, c.server.refer(r, c, happened))
		return false
	}
	return true
}
