package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/tokens"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap/zapcore"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// upstream is an MCP server behind the site: where it is, and the proxy to it.
type upstream struct {
	id       string
	title    string
	url      *url.URL
	resource string
	proxy    caddyhttp.MiddlewareHandler
	own      *reverseproxy.HTTPTransport // of proxy; nil if that is Caddy's to clean up
	// unencrypted tells that the shared credential travels in clear.
	unencrypted bool
}

// upstreamTarget is where requests for a server go, and what they carry.
type upstreamTarget struct {
	url *url.URL
	// headers hold the shared credential. They exist only in the transport:
	// nowhere a placeholder, a log or a later handler could see them.
	headers []fixedHeader
	claims  []identityHeader
}

// fixedHeader is the same on all requests, which share its values.
type fixedHeader struct {
	name   string // canonical
	values []string
}

// identityHeader tells the upstream something about the caller.
type identityHeader struct {
	name  string // canonical
	value func(*tokens.Caller) string
}

var claims = map[string]func(*tokens.Caller) string{
	"user":     func(c *tokens.Caller) string { return c.Identity.Name },
	"identity": func(c *tokens.Caller) string { return c.Identity.Subject },
	"client":   func(c *tokens.Caller) string { return c.ClientID },
	"grant":    func(c *tokens.Caller) string { return c.GrantID },
	"scope":    func(c *tokens.Caller) string { return c.Scope },
}

// newUpstreamTarget returns the target of a server.
func newUpstreamTarget(s *config.Server) *upstreamTarget {
	target := &upstreamTarget{url: s.URL}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		target.headers = append(target.headers, fixedHeader{http.CanonicalHeaderKey(name), []string{s.Headers[name]}})
	}
	for _, name := range slices.Sorted(maps.Keys(s.IdentityHeaders)) {
		target.claims = append(target.claims, identityHeader{http.CanonicalHeaderKey(name), claims[s.IdentityHeaders[name]]})
	}
	return target
}

// newUpstream sets up the proxy to a server, as Caddy's own reverse_proxy.
func newUpstream(ctx caddy.Context, s *config.Server, conns *upstreamConns) (*upstream, error) {
	target := newUpstreamTarget(s)
	raw, fixedHost, err := proxyConfig(s.ReverseProxy, target.url)
	if err != nil {
		return nil, err
	}
	own, err := conns.transport(ctx, proxyOf(raw).TransportRaw)
	if err != nil {
		return nil, err
	}
	module, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", raw)
	if err != nil {
		return nil, err
	}
	// A copy, because active health checks go on in the original: with its
	// transport, so that probes carry no credential.
	proxy := *module.(*reverseproxy.Handler)
	if own != nil {
		proxy.Transport = own
	}
	u := &upstream{
		id: s.ID, title: s.Title, url: s.URL, resource: s.Resource, proxy: &proxy, own: own,
		unencrypted: (len(target.headers) > 0 || s.Auth != nil) && target.url.Scheme == "http" && !oauth.IsLoopbackHost(target.url.Hostname()),
	}
	t := &transport{
		RoundTripper: proxy.Transport, upstream: u, target: target, host: target.url.Host,
		logged: ctx.Logger(&proxy).Core().Enabled(zapcore.DebugLevel) || matchesRetries(&proxy),
	}
	if fixedHost {
		t.host = ""
	}
	proxy.Transport = t
	return u, nil
}

// matchesRetries reports whether the proxy decides by a request whether to send
// it again.
func matchesRetries(proxy *reverseproxy.Handler) bool {
	return proxy.LoadBalancing != nil && len(proxy.LoadBalancing.RetryMatchRaw)+len(proxy.LoadBalancing.RetryMatch) > 0
}

// proxyConfig completes an operator's reverse_proxy configuration, if any,
// with the address and TLS of the upstream URL. fixedHost reports whether the
// operator chose the Host header.
//
// Event streams need no setting: reverse_proxy flushes them, and all answers of
// unknown length, at once.
func proxyConfig(raw json.RawMessage, target *url.URL) (_ json.RawMessage, fixedHost bool, err error) {
	var rp reverseproxy.Handler
	if len(raw) > 0 {
		if err := caddy.StrictUnmarshalJSON(raw, &rp); err != nil {
			return nil, false, err
		}
	}
	if len(rp.Upstreams) == 0 && rp.DynamicUpstreamsRaw == nil {
		rp.Upstreams = reverseproxy.UpstreamPool{{Dial: dialAddress(target)}}
	}
	if target.Scheme == "https" {
		if rp.TransportRaw, err = withTLS(rp.TransportRaw); err != nil {
			return nil, false, err
		}
	}
	if rp.Headers != nil && rp.Headers.Request != nil {
		_, fixedHost = rp.Headers.Request.Set["Host"]
	}
	var warnings []caddyconfig.Warning
	out := caddyconfig.JSON(rp, &warnings)
	if len(warnings) > 0 {
		return nil, false, fmt.Errorf("%s", warnings[0].Message)
	}
	return out, fixedHost, nil
}

func dialAddress(u *url.URL) string {
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
