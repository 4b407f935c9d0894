package gate

import (
	"net/http"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// admitOrigin refuses the call of a web page from elsewhere, which is how DNS
// rebinding shows (MCP Streamable HTTP, security warning), and lets the pages
// that may call read the answer. A request without Origin is no page's.
func (g *Gate) admitOrigin(w http.ResponseWriter, r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 || !g.origins.Allows(values[0]) {
		const message = "Web pages of this origin may not call this server."
		mcp.WriteError(w, http.StatusForbidden, message, g.refer(r, event.Event{
			Kind: event.GateRefused, Reason: "origin", Detail: message + " The option allowed_origins lists those that may.", Status: http.StatusForbidden,
		}))
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", values[0])
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version")
	h.Add("Vary", "Origin")
	return true
}

// mcpMethods are those of every revision of the Streamable HTTP transport.
const mcpMethods = "POST, GET, DELETE, OPTIONS"

// preflight answers an OPTIONS request for the server's path, and reports
// whether it did. None is ever forwarded: a browser asks without the token.
func (g *Gate) preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions {
		return false
	}
	if !g.admitOrigin(w, r) {
		return true
	}
	// The wildcard stands for the Mcp-Param headers, whose names are the
	// tools'. It never covers Authorization (Fetch standard, section 3.3.3).
	oauth.AllowPreflight(w.Header(), mcpMethods, "Authorization, *")
	w.WriteHeader(http.StatusNoContent)
	return true
}
