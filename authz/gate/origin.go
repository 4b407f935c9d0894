package gate

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// maxLoggedOrigin is longer than any origin with a host name (RFC 1035 section
// 2.3.4).
const maxLoggedOrigin = 300

// loggedOrigins returns what a log line has of Origin headers, of which one is
// right.
func loggedOrigins(values []string) []string {
	logged := make([]string, 0, 2)
	for _, origin := range values[:min(len(values), 2)] {
		logged = append(logged, origin[:min(len(origin), maxLoggedOrigin)])
	}
	return logged
}

// admitOrigin refuses the call of a web page from elsewhere, which is how DNS
// rebinding shows (MCP Streamable HTTP, security warning), and lets the pages
// that may call read the answer. A request without Origin is no page's.
func (g *Gate) admitOrigin(w http.ResponseWriter, r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 || !g.origins.Allows(values[0]) {
		id := oauth.NewCorrelationID()
		g.log.Debug("a web page's call refused; allowed_origins does not list its origin",
			zap.Strings("origin", loggedOrigins(values)), zap.String("correlation_id", id))
		mcp.WriteError(w, http.StatusForbidden, "Web pages of this origin may not call this server.", id)
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
