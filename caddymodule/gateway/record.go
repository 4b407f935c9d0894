package gateway

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// record tells Caddy who calls: in placeholders and in the access log.
func (c *Call) record(r *http.Request) {
	ctx := r.Context()
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Delete("http.auth.user.id") // of another handler: the token decides
		repl.Map(c.placeholder)
	}
	if c.server.Site.AccessLog {
		addToAccessLog(r, zap.Inline(c))
	}
}

// addToAccessLog adds a field to what Caddy logs of the request.
func addToAccessLog(r *http.Request, field zap.Field) {
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(field)
	}
}

// placeholder implements caddy.ReplacerFunc.
func (c *Call) placeholder(key string) (any, bool) {
	if key == "http.auth.user.id" {
		return c.caller.Identity.Subject, true
	}
	name, ours := strings.CutPrefix(key, "http.mcp_oauth.")
	if !ours {
		return nil, false
	}
	switch name {
	case "server":
		return c.server.ID, true
	case "client_id":
		return c.caller.ClientID, true
	case "grant_id":
		return c.caller.GrantID, true
	case "scope":
		return c.caller.Scope, true
	case "email":
		return email(c.caller), true
	case "groups":
		return groups(c.caller), true
	case "name":
		return claimedName(c.caller), true
	default:
		return nil, false
	}
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (c *Call) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("mcp_server", c.server.ID)
	enc.AddString("mcp_client", c.caller.ClientID)
	return nil
}
