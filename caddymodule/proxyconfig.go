package caddymodule

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// checkProxies refuses what the proxy of a server would not do.
func checkProxies(site *config.Site) error {
	for i, s := range site.Servers {
		path := config.Index("servers", i) + ".reverse_proxy"
		if len(s.ReverseProxy) == 0 {
			continue
		}
		var rp reverseproxy.Handler
		if err := caddy.StrictUnmarshalJSON(s.ReverseProxy, &rp); err != nil {
			return config.Errorf(path, "%v", err)
		}
		if rw := rp.Rewrite; rw != nil && (rw.URI != "" || rw.StripPathPrefix != "" || rw.StripPathSuffix != "" || len(rw.URISubstring)+len(rw.PathRegexp) > 0) {
			return config.Errorf(path, "rewrite has no effect, since the path is always that of the server's URL; remove it and write the path there")
		}
	}
	return nil
}

// proxyOf reads the configuration of a proxy.
func proxyOf(raw json.RawMessage) reverseproxy.Handler {
	var rp reverseproxy.Handler
	_ = json.Unmarshal(raw, &rp) // checkProxies says what is wrong with it
	return rp
}

// elsewhere returns where calls of a server go instead of to the host of its
// URL. Sockets and dynamic addresses are no mistake: no URL can name them.
func elsewhere(s *config.Server, own string) []string {
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
