package upstream

import (
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Check refuses options of reverse_proxy that a proxy to the server would
// not take, or that would do nothing there.
func Check(s *config.Server) error {
	options, err := configuredProxy(s)
	if err != nil {
		return err
	}
	if rw := options.Rewrite; rw != nil && (rw.URI != "" || rw.StripPathPrefix != "" || rw.StripPathSuffix != "" || len(rw.URISubstring)+len(rw.PathRegexp) > 0) {
		return errors.New("rewrite has no effect, since the path is always that of the server's URL; remove it and write the path there")
	}
	return nil
}

// OtherAddresses returns where calls of a server go instead of to the address in
// its URL, which is own. Sockets and dynamic addresses do not count: no URL can
// name them.
func OtherAddresses(s *config.Server) (own string, others []string) {
	own = dialAddress(s.URL)
	options, err := configuredProxy(s)
	if err != nil || options.DynamicUpstreamsRaw != nil {
		return own, nil
	}
	for _, u := range options.Upstreams {
		if u.Dial == own {
			return own, nil
		}
		if !strings.HasPrefix(u.Dial, "unix") {
			others = append(others, u.Dial)
		}
	}
	return own, others
}

// configuredProxy returns an operator's configuration of reverse_proxy, which is
// empty if there is none.
func configuredProxy(s *config.Server) (*reverseproxy.Handler, error) {
	options := new(reverseproxy.Handler)
	if len(s.ReverseProxy) == 0 {
		return options, nil
	}
	return options, caddy.StrictUnmarshalJSON(s.ReverseProxy, options)
}

// Options completes an operator's configuration of reverse_proxy with the
// address and TLS of the server's URL.
//
// Event streams need no setting: reverse_proxy flushes them, and all answers of
// unknown length, at once.
func Options(s *config.Server) (*reverseproxy.Handler, error) {
	options, err := configuredProxy(s)
	if err != nil {
		return nil, err
	}
	if len(options.Upstreams) == 0 && options.DynamicUpstreamsRaw == nil {
		options.Upstreams = reverseproxy.UpstreamPool{{Dial: dialAddress(s.URL)}}
	}
	if s.URL.Scheme == "https" {
		options.TransportRaw, err = withTLS(options.TransportRaw)
	}
	return options, err
}

// dialAddress returns the network address in a URL.
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
