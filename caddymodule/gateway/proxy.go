package gateway

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/gateway/upstream"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Proxy forwards calls to one address, with Caddy's own reverse_proxy.
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
	t := &transport{
		RoundTripper: handler.Transport, target: target, host: s.URL.Host,
		logged: ctx.Logger(&handler).Core().Enabled(zapcore.DebugLevel) || matchesRetries(&handler),
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
