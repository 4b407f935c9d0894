package gate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Disconnected refuses a call of somebody whose connection to the upstream is
// missing or works no more, in the way that leads an OAuth client back to the
// authorization page, where the person connects:
//
//   - 403 with the ConnectScope of the server, if the client's revision asks for
//     scopes, the token does not have it, and the client has not shown yet that
//     it does not ask for it;
//   - else 401, and the grant ends. Otherwise the client would refresh, and come
//     back with a fresh token to the same missing connection.
//
// It is not for virtual keys, behind which there is no authorization page.
func (g *Gate) Disconnected(w http.ResponseWriter, r *http.Request, c *tokens.Caller, revision string) {
	scopes := strings.Fields(c.Scope)
	connect := oauth.ConnectScope(g.server.ID)
	if revision >= mcp.November2025 && !slices.Contains(scopes, connect) && g.deps.StepUps.shouldChallenge(c, g.server.ID, g.deps.Now()) {
		g.challengeScope(w, r, c, append(scopes, connect), event.Event{Kind: event.CallNeedsAccount, Reason: "asked_by_scope"})
		return
	}
	why := g.about(c, event.Event{Reason: "account_missing", By: event.BySite, Server: g.server.ID})
	if err := g.deps.Grants.Revoke(g.deps.Events.Of(r), why); err != nil {
		g.fail(w, r, c, err)
		return
	}
	g.reject(w, r, &invalidToken, g.about(c, event.Event{Kind: event.CallNeedsAccount, Reason: "asked_by_sign_in"}))
}
