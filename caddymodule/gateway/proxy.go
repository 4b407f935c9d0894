package gateway

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Proxy forwards calls to one address, with Caddy's own reverse_proxy.
type Proxy struct {
	target  *target
	handler *reverseproxy.Handler
	own     *reverseproxy.HTTPTransport // of the handler; nil if that is Caddy's to clean up
}

// NewProxy sets up the proxy to a server.
func NewProxy(ctx caddy.Context, s *config.Server, conns *Conns) (*Proxy, error) {
	target := newTarget(s)
	options, err := proxyOptions(s.ReverseProxy, s.URL)
	if err != nil {
		return nil, err
	}
	own, err := conns.transport(ctx, options.TransportRaw)
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

// proxyOptions completes an operator's reverse_proxy configuration, if any,
// with the address and TLS of the upstream URL.
//
// Event streams need no setting: reverse_proxy flushes them, and all answers of
// unknown length, at once.
func proxyOptions(raw json.RawMessage, target *url.URL) (options *reverseproxy.Handler, err error) {
	options = new(reverseproxy.Handler)
	if len(raw) > 0 {
		if err := caddy.StrictUnmarshalJSON(raw, options); err != nil {
			return nil, err
		}
	}
	if len(options.Upstreams) == 0 && options.DynamicUpstreamsRaw == nil {
		options.Upstreams = reverseproxy.UpstreamPool{{Dial: DialAddress(target)}}
	}
	if target.Scheme == "https" {
		options.TransportRaw, err = withTLS(options.TransportRaw)
	}
	return options, err
}

// DialAddress returns the network address in a URL.
func DialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// withTLS turns TLS on in the configuration of a transport. Transports other
// than http decide themselves.
func withTLS(raw json.RawMessage) (json.RawMessage, error) {
	transport := map[string]json.RawMessage{"protocol": json.RawMessage(`"http"`)}
	if raw != nil {
		if err := json.Unmarshal(raw, &transport); err != nil {
			return nil, err
		}
	}
	if _, set := transport["tls"]; !set && string(transport["protocol"]) == `"http"` {
		transport["tls"] = json.RawMessage(`{}`)
	}
	return json.Marshal(transport)
}
