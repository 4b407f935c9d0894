package caddymodule

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
)

// checkProxies refuses what the proxy of a server would not do.
func (h *Handler) checkProxies(*authz.Config, resolver) error {
	for i, s := range h.Servers {
		path := index("servers", i) + ".reverse_proxy"
		if len(s.ReverseProxy) == 0 {
			continue
		}
		var rp reverseproxy.Handler
		if err := caddy.StrictUnmarshalJSON(s.ReverseProxy, &rp); err != nil {
			return wrong(path, "%v", err)
		}
		if rw := rp.Rewrite; rw != nil && (rw.URI != "" || rw.StripPathPrefix != "" || rw.StripPathSuffix != "" || len(rw.URISubstring)+len(rw.PathRegexp) > 0) {
			return wrong(path, "rewrite has no effect, since the path is always that of the server's URL; remove it and write the path there")
		}
	}
	return nil
}

// proxyOf reads the configuration of a proxy.
func proxyOf(raw json.RawMessage) reverseproxy.Handler {
	var rp reverseproxy.Handler
	_ = json.Unmarshal(raw, &rp) // a mistake in it is told by checkProxies
	return rp
}

// sentHeaders returns the request headers that the proxy block of a server sets.
func sentHeaders(s Server) http.Header {
	rp, sent := proxyOf(s.ReverseProxy), http.Header{}
	if rp.Headers == nil || rp.Headers.Request == nil {
		return sent
	}
	for _, set := range []http.Header{rp.Headers.Request.Set, rp.Headers.Request.Add} {
		for name, values := range set {
			name = http.CanonicalHeaderKey(name)
			sent[name] = append(sent[name], values...)
		}
	}
	return sent
}

// proxyHeaders returns the names of those.
func proxyHeaders(s Server) []string {
	var names []string
	for name := range sentHeaders(s) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// elsewhere returns where calls of a server go instead of to the host of its
// URL. Sockets and dynamic addresses are no mistake: no URL can name them.
func elsewhere(s Server, own string) []string {
	rp := proxyOf(s.ReverseProxy)
	if rp.DynamicUpstreamsRaw != nil {
		return nil
	}
	var to []string
	for _, u := range rp.Upstreams {
		if u.Dial == own {
			return nil
		}
		if !strings.HasPrefix(u.Dial, "unix") {
			to = append(to, u.Dial)
		}
	}
	return to
}
