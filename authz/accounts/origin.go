package accounts

import (
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// origin returns scheme, host and port in one spelling, without a default port.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

func originOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return origin(u)
}

// reach returns the client for a request about a server: the operator's own
// for the origins that its configuration names, else the guarded one.
func (b *Broker) reach(s *Server, u *url.URL) *egress.Client {
	target := origin(u)
	for _, named := range []string{s.URL, s.VerifyURL, s.Issuer, s.AuthorizationEndpoint, s.TokenEndpoint, s.RevocationEndpoint} {
		if named != "" && originOf(named) == target {
			return b.deps.Operator
		}
	}
	return b.deps.Egress
}

// canonicalResource returns the one spelling of a resource identifier (RFC
// 8707 section 2): scheme and host in lower case, no default port, no slash at
// the end. It is "" for what cannot be one.
func canonicalResource(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Contains(s, "#") {
		return ""
	}
	_, rest, _ := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return origin(u) + strings.TrimSuffix(rest[end:], "/")
}

// resource returns the identifier of the server (CL-11).
func (s *Server) resource() string {
	if s.Resource != "" {
		return s.Resource
	}
	return canonicalResource(s.URL)
}

// origin returns where the server's credentials may go: the origin of its
// public name, as an internal address may change at any time.
func (s *Server) origin() string { return originOf(s.resource()) }
