package authz

import (
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
)

// originAllowed reports whether pages of a web origin may call the MCP
// servers. It compares bytes: browsers serialise origins in one form (RFC 6454
// section 6.2). "null" is the origin of anybody's sandboxed page.
func (cfg *Config) originAllowed(origin string) bool {
	return origin == cfg.Issuer || isLoopbackOrigin(origin) || slices.Contains(cfg.AllowedOrigins, origin)
}

// isLoopbackOrigin reports whether the page comes from this machine, such as a
// development tool. A page that only rebinds its name to a loopback address
// keeps its own origin.
func isLoopbackOrigin(origin string) bool {
	rest, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		rest, ok = strings.CutPrefix(origin, "https://")
	}
	if !ok {
		return false
	}
	for _, host := range [...]string{"localhost", "127.0.0.1", "[::1]"} {
		if port, ok := strings.CutPrefix(rest, host); ok {
			return port == "" || isPort(port)
		}
	}
	return false
}

// isPort reports whether s is a colon and one to five digits.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

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
	if len(values) > 1 || !g.as.cfg.originAllowed(values[0]) {
		id := NewCorrelationID()
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
