package neighbours

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// HiddenHost returns what another server of the same Caddy, in front of this one,
// sends here as Host in place of the site's, or "" if none does.
func HiddenHost(app *caddyhttp.App, server *caddyhttp.Server, host string) (sent string) {
	for _, front := range app.Servers {
		if front == server {
			continue
		}
		anyHandler(front.Routes, func(h handler) bool {
			proxy, ok := h.loaded.(*reverseproxy.Handler)
			if ok && leadsTo(proxy, server) {
				sent = replacedHost(proxy, host)
			}
			return sent != ""
		})
	}
	return sent
}

// replacedHost returns what a proxy sends as Host, unless that may be the site's.
func replacedHost(proxy *reverseproxy.Handler, host string) string {
	if proxy.Headers == nil || proxy.Headers.Request == nil {
		return ""
	}
	set := proxy.Headers.Request.Set.Get("Host")
	switch {
	case set == "" || strings.EqualFold(hostname(set), host):
		return ""
	case strings.Contains(set, "upstream"):
		named := func(u *reverseproxy.Upstream) bool { return strings.EqualFold(hostname(u.Dial), host) }
		if slices.ContainsFunc(proxy.Upstreams, named) {
			return ""
		}
	case strings.Contains(set, "{"): // such as {host}
		return ""
	}
	return set
}

// leadsTo reports whether a proxy sends requests to a server of this process.
func leadsTo(proxy *reverseproxy.Handler, server *caddyhttp.Server) bool {
	for _, upstream := range proxy.Upstreams {
		host, port, err := net.SplitHostPort(upstream.Dial)
		if err != nil || !oauth.IsLoopbackHost(host) {
			continue
		}
		for _, listen := range server.Listen {
			address, err := caddy.ParseNetworkAddress(listen)
			if err == nil && (address.Host == "" || oauth.IsLoopbackHost(address.Host)) && port == strconv.FormatUint(uint64(address.StartPort), 10) {
				return true
			}
		}
	}
	return false
}
