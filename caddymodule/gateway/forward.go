package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// Forwarder sends a call on to an MCP server, and the answer back.
type Forwarder interface {
	Forward(c *Call, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error
	// Close closes the connections that nobody uses.
	Close()
}

// forward is the last stage.
func (c *Call) forward(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if c.awaitsNotification() {
		answer := &sessionStream{
			ResponseWriter: w, elicitations: c.server.Site.Elicitations, session: c.elicitedSession(),
			standalone: r.Method == http.MethodGet,
		}
		defer answer.close()
		w = answer
	}
	return c.failed(w, r, c.server.Forward.Forward(c, w, r, next))
}

// failed answers for an upstream that could not be reached. Other errors are
// Caddy's.
func (c *Call) failed(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil { // before failure, which costs an allocation
		return nil
	}
	var failure caddyhttp.HandlerError
	if !errors.As(err, &failure) || failure.StatusCode < http.StatusInternalServerError {
		return err
	}
	id := c.server.refer(r, c, event.Event{
		Kind: event.ServerUnreachable, Reason: "unreachable", Status: failure.StatusCode, Err: failure.Err,
		Known: errors.Is(failure.Err, context.Canceled),
	})
	if failure.StatusCode == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	mcp.WriteError(w, failure.StatusCode, "The MCP server cannot be reached.", id)
	return nil
}
