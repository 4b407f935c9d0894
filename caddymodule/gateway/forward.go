package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/mcp"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/relay"
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
			ResponseWriter: w, elicitations: c.server.Site.Elicitations, session: elicitedSession(c),
			standalone: r.Method == http.MethodGet,
		}
		defer answer.close()
		w = answer
	}
	return c.failed(w, r, c.server.Forward.Forward(c, w, r, next))
}

// Own is a request that the site itself makes of a server, so that a page can show
// somebody what there is.
type Own struct {
	// Person is who they are, for a server that is told who calls.
	Person *tokens.Caller
	// Credential is that of their account, or of the shared one; nil for a server without
	// accounts.
	Credential *accounts.Credential
}

// SendOwn sends a request of the site's own. The answer comes as the server gives it:
// whoever asks has to bound it, and must pass nothing of it on.
func (s *Server) SendOwn(own Own, w http.ResponseWriter, r *http.Request) error {
	c := &Call{server: s, caller: own.Person, own: true, client: w, request: request{header: r.Header}}
	c.account.credential = own.Credential
	if s.IdentityJWT != "" {
		var err error
		if c.statement, err = s.Site.Statements.Values(r.Context(), c.caller, s.Configured()); err != nil {
			return err
		}
	}
	return s.Forward.Forward(c, w, r, caddyhttp.HandlerFunc(nothing))
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

// NewForwarder sets up how calls get to a server.
func NewForwarder(ctx caddy.Context, s *config.Server, conns *upstream.Conns) (Forwarder, error) {
	if len(s.ReverseProxy) > 0 {
		return NewProxy(ctx, s, conns)
	}
	return newRelay(ctx, s, conns)
}

// Relay forwards calls to the address in the URL of a server whose operator sets nothing
// about the proxy. reverse_proxy would do the same with more work: for options,
// placeholders and logs that nobody has there.
type Relay struct {
	transport transport
	relay     relay.Relay
	own       *reverseproxy.HTTPTransport
	log       *zap.Logger
}

func newRelay(ctx caddy.Context, s *config.Server, conns *upstream.Conns) (*Relay, error) {
	own, address, err := conns.Direct(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Relay{
		transport: transport{RoundTripper: own, target: newTarget(s), host: s.URL.Host, address: address},
		relay:     relay.Relay{Incremental: caddyhttp.IsIncremental, GotConn: upstream.AwaitDrained},
		own:       own, log: ctx.Logger().With(zap.String("mcp_server", s.ID)),
	}, nil
}

// Forward implements Forwarder.
func (f *Relay) Forward(c *Call, w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	c.target, c.hop = f.transport.target, hop{f, c, r}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	err := f.relay.Serve(w, r, &c.hop, trusted)
	if err == nil { // before broken, which costs an allocation
		return nil
	}
	var broken *relay.Broken
	switch {
	case errors.As(err, &broken):
		level := zapcore.WarnLevel
		if r.Context().Err() != nil { // the client left, as those of event streams do
			level = zapcore.DebugLevel
		}
		f.log.Log(level, "the answer of the MCP server broke off", zap.Error(err))
		panic(http.ErrAbortHandler)
	case errors.Is(err, context.Canceled):
		w.WriteHeader(statusClientLeft) // for the access log
		return nil
	}
	return caddyhttp.Error(statusOf(err), err)
}

// Close implements Forwarder.
func (f *Relay) Close() { _ = f.own.Cleanup() } // which never fails

// hop is the way of a call to its server.
type hop struct {
	relay   *Relay
	call    *Call
	request *http.Request
}

// Send implements relay.Hop.
func (h *hop) Send(x *relay.Exchange) (*http.Response, error) {
	return h.relay.transport.answer(h.request, h.call, x.NewRequest)
}

// Informational implements relay.Hop.
func (*hop) Informational(h http.Header) { headers.StripResponse(h) }

// statusClientLeft is what Caddy's access log has of a request whose client did not
// wait for the answer.
const statusClientLeft = 499

// statusOf returns the status for a server that could not be reached, as reverse_proxy
// chooses it.
func statusOf(err error) int {
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // not that of a dial, which is wrapped
		return http.StatusGatewayTimeout
	}
	if strings.Contains(err.Error(), "operation was canceled") { // while it was dialed, for which net has no error
		return statusClientLeft
	}
	return http.StatusBadGateway
}

// Proxy forwards calls with Caddy's own reverse_proxy, and the options that it has.
type Proxy struct {
	target  *target
	handler *reverseproxy.Handler
	own     *reverseproxy.HTTPTransport // of the handler; nil if that is Caddy's to clean up
}

// NewProxy sets up the proxy to a server.
func NewProxy(ctx caddy.Context, s *config.Server, conns *upstream.Conns) (*Proxy, error) {
	target := newTarget(s)
	options, err := upstream.Options(s)
	if err != nil {
		return nil, err
	}
	own, err := conns.Transport(ctx, options.TransportRaw)
	if err != nil {
		return nil, err
	}
	var warnings []caddyconfig.Warning
	complete := caddyconfig.JSON(options, &warnings)
	if len(warnings) > 0 {
		return nil, errors.New(warnings[0].Message)
	}
	module, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", complete)
	if err != nil {
		return nil, err
	}
	// A copy, because active health checks go on in the original: with its
	// transport, so that probes carry no credential.
	handler := *module.(*reverseproxy.Handler)
	if own != nil {
		handler.Transport = own
	}
	t := &proxied{
		transport: transport{RoundTripper: handler.Transport, target: target, host: s.URL.Host},
		logged:    ctx.Logger(&handler).Core().Enabled(zapcore.DebugLevel) || matchesRetries(&handler),
	}
	if options.Headers != nil && options.Headers.Request != nil {
		if _, set := options.Headers.Request.Set["Host"]; set {
			t.host = ""
		}
	}
	handler.Transport = t
	return &Proxy{target, &handler, own}, nil
}

// Forward implements Forwarder.
func (p *Proxy) Forward(c *Call, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	c.target = p.target
	caddyhttp.SetVar(r.Context(), callKey, c)
	return p.handler.ServeHTTP(w, r, next)
}

// Close implements Forwarder.
func (p *Proxy) Close() {
	if p.own != nil {
		_ = p.own.Cleanup() // which never fails
	}
}

// matchesRetries reports whether the proxy decides by a request whether to send
// it again.
func matchesRetries(proxy *reverseproxy.Handler) bool {
	return proxy.LoadBalancing != nil && len(proxy.LoadBalancing.RetryMatchRaw)+len(proxy.LoadBalancing.RetryMatch) > 0
}
