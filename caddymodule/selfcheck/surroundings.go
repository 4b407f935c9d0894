package selfcheck

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/neighbours"
)

// smallBody is less than what calls have that carry a file.
const smallBody = 1 << 20

func (c *check) limitBody(limit int64) {
	if c.visit.call && c.visit.method == http.MethodPost && limit > 0 && (c.limit == 0 || limit < c.limit) {
		c.limit = limit
	}
}

func (c *check) checkBodyLimit() {
	if c.limit == 0 || c.limit >= smallBody {
		return
	}
	c.report.find(finding{
		level: zapcore.WarnLevel, by: []string{"request_body"}, text: "calls with a larger body than request_body allows are refused; let MCP servers have 10MB or so, or give request_body a matcher for other paths",
	})
}

// longCall is how long calls of MCP servers may well last, and streams do.
const longCall = 10 * time.Minute

// checkTimeouts tells of what ends calls and streams that are still at work. Caddy
// has it off by default. The one for reading bodies ends none.
func (c *check) checkTimeouts() {
	timeout := time.Duration(c.traveller.Server.WriteTimeout)
	if timeout <= 0 || timeout >= longCall {
		return
	}
	c.report.find(finding{
		level: zapcore.WarnLevel, text: "timeouts write " + timeout.String() + " in the global option servers ends calls and event streams of MCP servers that last longer; remove it: Caddy ends connections on which nothing moves by itself",
	})
}

// checkWho warns where identity caddy lets people sign in, but what authenticates
// them is not in front of the pages.
func (c *check) checkWho() {
	placeholder := c.site.Config.UserPlaceholder()
	byHandler := strings.HasPrefix(placeholder, "http.auth.user.") || strings.HasPrefix(placeholder, "http.reverse_proxy.header.")
	if !byHandler || len(c.unknownAt) == 0 || !neighbours.Authenticates(c.traveller.Server) {
		return
	}
	c.report.find(finding{
		level: zapcore.ErrorLevel, by: []string{"basic_auth", "forward_auth"}, text: "people cannot sign in with identity caddy: what authenticates them, such as basic_auth or forward_auth, is not in front of " +
			strings.Join(c.unknownAt, ", ") + "; give it the matcher of the pages, as in examples/caddy-user.caddyfile",
	})
}

// checkScheme warns where everything is in clear, and nobody is known who would
// end TLS in front.
func (c *check) checkScheme() {
	server := c.traveller.Server
	if !strings.HasPrefix(c.site.Config.Issuer, "https://") || len(server.TLSConnPolicies) > 0 || neighbours.TrustsProxies(server) {
		return
	}
	c.report.find(finding{
		level: zapcore.WarnLevel, text: "public_url is https, but this site takes plain http; if a proxy in front of Caddy ends TLS, name it with trusted_proxies in the global option servers, without which all clients count as one sender; else remove http:// from the address of the site, so that Caddy gets a certificate",
	})
}

// checkFront warns where this Caddy itself sends requests here under another name.
func (c *check) checkFront(app *caddyhttp.App) {
	host := c.site.Config.Host()
	sent := neighbours.HiddenHost(app, c.traveller.Server, host)
	if sent == "" {
		return
	}
	c.report.find(finding{
		level: zapcore.ErrorLevel, text: "a reverse_proxy of this Caddy sends requests for " + host + " here with the Host " + sent +
			", and this site refuses them with 421; remove header_up Host from it",
	})
}
