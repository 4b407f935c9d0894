package caddymodule

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz"
	"github.com/mcpoauth/caddy-mcp-oauth/authz/accounts"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// neverPassed are names, and beginnings of names that end in *, which no
// operator can let a client send to an MCP server. They are not the defence,
// which is that only known names pass; they keep pass_headers from undoing it.
var neverPassed = []string{
	// Credentials for this site (MCP authorization: the client's token must not
	// reach the upstream).
	"Authorization", "Proxy", "Proxy-*", "Cookie*", "Dpop",
	// Hop by hop. Connection could also name headers to drop, and there is no
	// upgrade in MCP: an upgraded connection would escape the gate.
	"Connection", "Keep-Alive", "Upgrade", "Http2-Settings", "Te", "Trailer", "Transfer-Encoding", "Host",
	// Of the browser. The gate has judged the origin; the upstream would
	// compare it with its own.
	"Origin", "Referer", "Sec-*", "Access-Control-*",
	// Words of proxies about who calls, which servers believe.
	"Forwarded", "X-Forwarded-*", "X-Original-*", "X-Auth-*", "X-Authenticated-*", "X-Authentik-*", "X-Authelia-*", "X-Webauth-*",
	"Remote-*", "X-Remote-*", "X-User", "X-Userinfo", "X-User-*", "X-Email", "X-Groups", "X-Vouch-*", "X-Pomerium-*", "X-Token-User-*",
	"X-Token-Subject", "X-Id-Token", "X-Access-Token", "X-Jwt-*", "X-Goog-Authenticated-*", "X-Goog-Iap-*", "X-Ms-Client-*", "X-Ms-Token-*", "X-Amzn-Oidc-*",
	"X-Amzn-Mtls-*", "Cf-*", "Tailscale-*", "Fly-Client-*", "Fastly-Client-*", "X-Azure-*", "X-Appengine-*",
	// About the address of the caller, and its certificate.
	"X-Real-Ip", "X-Client-Ip", "X-Client-Cert*", "X-Client-Verify*", "X-Client-Dn", "Client-Ip", "Client-Cert*", "True-Client-*", "X-Cluster-Client-*", "X-Originating-Ip", "X-Ssl-*", "Ssl-*",
	"X-Tls-*", "X-Arr-*",
	// About another URL or method than those that were judged.
	"X-Rewrite-Url", "X-Http-Method*", "X-Method-Override", "X-Accel-*", "X-Sendfile*",
}

// convertPassHeaders returns what of a client's request headers goes on to
// each server.
func (h *Handler) convertPassHeaders(c accounts.Config) ([]*headers.Filter, error) {
	everywhere := callerHeaders(h.Servers, c)
	all := make([]*headers.Filter, len(h.Servers))
	for i, s := range h.Servers {
		path := index("servers", i) + ".pass_headers"
		ours := everywhere
		for _, set := range [][]string{headerNames(s.Headers), proxyHeaders(s)} {
			ours = append(slices.Clip(ours), set...)
		}
		for _, name := range s.PassHeaders {
			if err := checkPassHeader(path, name, ours); err != nil {
				return nil, err
			}
		}
		all[i] = headers.NewFilter(s.PassHeaders, ours)
	}
	return all, nil
}

func (h *Handler) checkPassHeaders(cfg *authz.Config, resolve resolver) error {
	c, err := h.upstreamConfig(cfg.Issuer, resolve)
	if err != nil {
		return err
	}
	_, err = h.convertPassHeaders(c)
	return err
}

// checkPassHeader refuses what no client may decide. name may end in *.
func checkPassHeader(path, name string, ours []string) error {
	prefix, wild := strings.CutSuffix(name, "*")
	if !httpguts.ValidHeaderFieldName(prefix) || strings.Contains(prefix, "*") {
		return wrong(path, "%q is not a header name; write one such as X-Toolset, or X-Custom-* for all that start so", name)
	}
	if strings.HasPrefix(headers.Fold(name), headers.Fold(headers.MCPPrefix)) {
		return wrong(path, "all headers that start with %s pass anyway, in that spelling; remove %s", headers.MCPPrefix, name)
	}
	if known, ok := headers.Passes(name); ok {
		return wrong(path, "%s passes anyway; remove %s", known, name)
	}
	for _, never := range neverPassed {
		if overlap(name, never) {
			return wrong(path, "%s would let a client send %s, which servers take for the word of a proxy or as a credential; "+
				"name only headers of your own, or set this one with identity_header or with header_up in proxy", name, never)
		}
	}
	if i := slices.IndexFunc(ours, func(set string) bool { return headers.Fold(set) == headers.Fold(name) }); i >= 0 && !wild {
		return wrong(path, "the site itself sets %s, so no client may; remove one", ours[i])
	}
	return nil
}

// overlap reports whether there is a header that both patterns mean, in any
// spelling.
func overlap(a, b string) bool {
	a, wildA := strings.CutSuffix(a, "*")
	b, wildB := strings.CutSuffix(b, "*")
	a, b = headers.Fold(a), headers.Fold(b)
	return a == b || wildA && strings.HasPrefix(b, a) || wildB && strings.HasPrefix(a, b)
}

// callerHeaders are the headers that only the gateway may set on the way to
// any server of the site.
func callerHeaders(servers []Server, c accounts.Config) []string {
	var names []string
	for _, s := range c.Servers {
		names = append(names, credentialHeaders(s)...)
	}
	for _, s := range servers {
		names = append(names, headerNames(s.IdentityHeaders)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// headerNames returns the names in canonical form and order.
func headerNames(configured map[string]string) []string {
	names := make([]string, 0, len(configured))
	for name := range configured {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	slices.Sort(names)
	return names
}

// checkDistinctHeaders refuses two headers for one server that some server
// takes for the same.
func checkDistinctHeaders(path string, s Server) error {
	seen := map[string]string{}
	for _, set := range []struct {
		field string
		names map[string]string
	}{{".headers.", s.Headers}, {".identity_headers.", s.IdentityHeaders}} {
		for _, name := range slices.Sorted(maps.Keys(set.names)) {
			canonical := http.CanonicalHeaderKey(name)
			switch other, twice := seen[headers.Fold(name)]; {
			case twice && other == canonical:
				return wrong(path+set.field+name, "the header %s is set twice; remove it from auth headers, or the identity_header", canonical)
			case twice:
				return wrong(path+set.field+name, "%s and %s are the same header to many servers; remove one", other, canonical)
			}
			seen[headers.Fold(name)] = canonical
		}
	}
	for _, name := range proxyHeaders(s) {
		if _, set := seen[headers.Fold(name)]; set {
			return wrong(path+".reverse_proxy", "header_up %s has no effect, since auth headers or an identity_header sets it; remove one", name)
		}
	}
	return nil
}
