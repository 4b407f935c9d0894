package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/headers"
)

// identityClaims are what a server can be told about a caller.
var identityClaims = []string{"user", "identity", "email", "groups", "name", "client", "grant", "scope"}

// resolveHeaders checks the headers that are set for a server, and replaces
// the placeholders in them.
func (s *Server) resolveHeaders(path string, resolve Resolver) error {
	s.Headers = maps.Clone(s.Headers)
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		field := path + ".headers." + name
		if err := checkUpstreamHeader(field, name); err != nil {
			return err
		}
		text := s.Headers[name]
		known, err := resolve.replace(field, &text)
		if err != nil {
			return err
		}
		if known && !httpguts.ValidHeaderFieldValue(text) {
			return Errorf(field, "the value has characters a header cannot have")
		}
		s.Headers[name] = text
	}
	for _, name := range slices.Sorted(maps.Keys(s.IdentityHeaders)) {
		field, claim := path+".identity_headers."+name, s.IdentityHeaders[name]
		if err := checkUpstreamHeader(field, name); err != nil {
			return err
		}
		if !slices.Contains(identityClaims, claim) {
			return Errorf(field, "unknown value %q%s", claim, Choice(claim, identityClaims))
		}
	}
	if s.IdentityJWT != "" {
		if err := checkUpstreamHeader(path+".identity_jwt", s.IdentityJWT); err != nil {
			return err
		}
	}
	return s.checkDistinctHeaders(path)
}

// checkUpstreamHeader refuses headers that the proxy or the protocol owns.
func checkUpstreamHeader(path, name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return Errorf(path, "%q is not a header name", name)
	}
	canonical, folded := http.CanonicalHeaderKey(name), headers.Fold(name)
	if strings.HasPrefix(folded, headers.Fold(headers.MCPPrefix)) {
		return Errorf(path, "the header %s belongs to the protocol; use another name", canonical)
	}
	if slices.Contains(protocolHeaders, folded) {
		return Errorf(path, "the header %s belongs to the protocol; remove it", canonical)
	}
	return nil
}

// protocolHeaders are those of HTTP and MCP that no option may set.
var protocolHeaders = []string{
	"host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-length", "content-type", "content-encoding", "accept", "last-event-id",
}

// checkDistinctHeaders refuses two headers for one server that some server
// takes for the same.
func (s *Server) checkDistinctHeaders(path string) error {
	seen := map[string]string{}
	for _, set := range []struct {
		field string
		names map[string]string
	}{{".headers.", s.Headers}, {".identity_headers.", s.IdentityHeaders}} {
		for _, name := range slices.Sorted(maps.Keys(set.names)) {
			canonical := http.CanonicalHeaderKey(name)
			switch other, twice := seen[headers.Fold(name)]; {
			case twice && other == canonical:
				return Errorf(path+set.field+name, "the header %s is set twice; remove it from auth headers, or the identity_header", canonical)
			case twice:
				return Errorf(path+set.field+name, "%s and %s are the same header to many servers; remove one", other, canonical)
			}
			seen[headers.Fold(name)] = canonical
		}
	}
	if other, twice := seen[headers.Fold(s.IdentityJWT)]; twice {
		return Errorf(path+".identity_jwt", "the header %s is set already, by auth headers or an identity_header; use another name, or remove one", other)
	}
	if s.IdentityJWT != "" {
		seen[headers.Fold(s.IdentityJWT)] = http.CanonicalHeaderKey(s.IdentityJWT)
	}
	for _, name := range s.proxyHeaders() {
		if _, set := seen[headers.Fold(name)]; set {
			return Errorf(path+".reverse_proxy", "header_up %s has no effect, since auth headers, an identity_header or identity_jwt sets it; remove one", name)
		}
	}
	return nil
}

// ProxyHeaders returns the request headers that the proxy of a server sets.
func (s *Server) ProxyHeaders() http.Header {
	var proxy struct {
		Headers struct {
			Request struct {
				Set http.Header `json:"set"`
				Add http.Header `json:"add"`
			} `json:"request"`
		} `json:"headers"`
	}
	sent := http.Header{}
	if json.Unmarshal(s.ReverseProxy, &proxy) != nil {
		return sent // there is none, or Caddy says what is wrong with it
	}
	for _, set := range []http.Header{proxy.Headers.Request.Set, proxy.Headers.Request.Add} {
		for name, values := range set {
			name = http.CanonicalHeaderKey(name)
			sent[name] = append(sent[name], values...)
		}
	}
	return sent
}

// proxyHeaders returns the names of those.
func (s *Server) proxyHeaders() []string { return slices.Sorted(maps.Keys(s.ProxyHeaders())) }

// checkIdentityHeaders refuses to tell an upstream the bare names of people
// where those of some are verified and others choose it: anybody could be anybody.
func checkIdentityHeaders(s *Site, _ Resolver) error {
	if s.hasServices() {
		if err := s.refuseUserHeader("programs that get tokens for themselves can have the name of a person; use the value identity, which tells them apart"); err != nil {
			return err
		}
	}
	if i := slices.IndexFunc(s.SignIn, func(m identity.Method) bool { return m.NameShared && !m.Service }); i >= 0 {
		kind, _, _ := strings.Cut(string(s.SignIn[i].Kind), ":")
		if err := s.refuseUserHeader(fmt.Sprintf("with `identity %s`, several people can have one name; use the value identity, which tells them apart, or email", kind)); err != nil {
			return err
		}
	}
	chosen := s.SignIn.UnverifiedNames()
	verified := func(m identity.Method) bool { return m.NameVerified }
	if !s.UsesVirtualKeys() && !slices.ContainsFunc(s.SignIn, verified) || len(chosen) == 0 {
		return nil
	}
	return s.refuseUserHeader(fmt.Sprintf("with `identity %s`, anybody can choose the name of a user who signs in otherwise; use the value identity, which tells them apart", chosen[0].Kind))
}

// refuseUserHeader refuses headers that tell the bare name of a person.
func (s *Site) refuseUserHeader(why string) error {
	for i, server := range s.Servers {
		for name, claim := range server.IdentityHeaders {
			if claim == "user" {
				return Errorf(Index("servers", i)+".identity_headers."+name, "%s", why)
			}
		}
	}
	return nil
}

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
	// Words of proxies about who calls, which servers trust.
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

// resolvePassHeaders settles what of a client's request headers goes on to each
// server.
func resolvePassHeaders(s *Site, _ Resolver) error {
	everywhere := callerHeaders(s)
	for i, server := range s.Servers {
		path := Index("servers", i) + ".pass_headers"
		ours := slices.Concat(everywhere, headerNames(server.Headers), server.proxyHeaders())
		for _, name := range server.PassHeaders {
			if err := checkPassHeader(path, name, ours); err != nil {
				return err
			}
		}
		server.PassFilter = headers.NewFilter(server.PassHeaders, ours)
	}
	return nil
}

// checkPassHeader refuses what no client may decide. name may end in *.
func checkPassHeader(path, name string, ours []string) error {
	prefix, wild := strings.CutSuffix(name, "*")
	if !httpguts.ValidHeaderFieldName(prefix) || strings.Contains(prefix, "*") {
		return Errorf(path, "%q is not a header name; write one such as X-Toolset, or X-Custom-* for all that start so", name)
	}
	if strings.HasPrefix(headers.Fold(name), headers.Fold(headers.MCPPrefix)) {
		return Errorf(path, "all headers that start with %s pass anyway, in that spelling; remove %s", headers.MCPPrefix, name)
	}
	if known, ok := headers.Passes(name); ok {
		return Errorf(path, "%s passes anyway; remove %s", known, name)
	}
	for _, never := range neverPassed {
		if overlap(name, never) {
			return Errorf(path, "%s would let a client send %s, which servers take for the word of a proxy or as a credential; "+
				"name only headers of your own, or set this one with identity_header or with header_up in proxy", name, never)
		}
	}
	if i := slices.IndexFunc(ours, func(set string) bool { return headers.Fold(set) == headers.Fold(name) }); i >= 0 && !wild {
		return Errorf(path, "the site itself sets %s, so no client may; remove one", ours[i])
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
func callerHeaders(s *Site) []string {
	var names []string
	for _, server := range s.Servers {
		if server.Auth != nil {
			names = append(names, server.Auth.credentialHeaders()...)
		}
		names = append(names, headerNames(server.IdentityHeaders)...)
		if server.IdentityJWT != "" {
			names = append(names, http.CanonicalHeaderKey(server.IdentityJWT))
		}
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
