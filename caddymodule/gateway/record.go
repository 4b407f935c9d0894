package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
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
		return c.server.Configured().ID, true
	case "account":
		return c.server.Account, true
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
	enc.AddString("mcp_server", c.server.Configured().ID)
	if c.server.Account != "" {
		enc.AddString("mcp_account", c.server.Account)
	}
	enc.AddString("mcp_client", c.caller.ClientID)
	return nil
}

// Counts is what is counted of the calls of a server.
type Counts struct {
	*metrics.Server
	Timed bool           // how long the server takes is measured
	Tools *metrics.Tools // nil unless calls are counted by tool
}

// begin returns when a request was sent, if that is to be known.
func (n *Counts) begin() (began time.Time) {
	if n.Timed {
		began = time.Now()
	}
	return began
}

// end counts what a request led to, which may be no answer.
func (n *Counts) end(began time.Time, res *http.Response) {
	status := 0
	if res != nil {
		status = res.StatusCode
	}
	n.Answered(status)
	if n.Timed {
		n.Took(time.Since(began))
	}
}

// countTool counts the call by its tool, if that is wanted and it calls one.
func (c *Call) countTool() {
	tools := c.server.Counts.Tools
	if tools == nil {
		return
	}
	if request := c.request.parsed(); request != nil && request.IsToolCall() {
		tools.Called(request.Tool())
	}
}
