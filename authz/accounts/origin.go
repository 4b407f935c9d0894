package accounts

import (
	"net/url"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
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

// resource returns the identifier of the server (CL-11).
func (s *Server) resource() string {
	if s.Resource != "" {
		return s.Resource
	}
	canonical, _ := oauth.CanonicalResource(s.URL)
	return canonical
}

// origin returns where the server's credentials may go: the origin of its
// public name, as an internal address may change at any time.
func (s *Server) origin() string { return originOf(s.resource()) }
