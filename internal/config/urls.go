package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
)

// parsePublicURL returns the issuer: the public URL in the one form that
// everything else is compared with, byte by byte.
func parsePublicURL(text string) (string, error) {
	const path = "public_url"
	if text == "" {
		return "", Errorf(path, "missing; write the URL of the site, such as https://mcp.example.com")
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return "", Errorf(path, "%q is not a URL; write public_url as https://mcp.example.com", text)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", Errorf(path, "%q has more than scheme and host; write %q", text, u.Scheme+"://"+u.Host)
	}
	if !validPort(u) {
		return "", Errorf(path, "%q has a port that does not exist; use one from 1 to 65535", text)
	}
	host := strings.ToLower(u.Hostname())
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String() // as browsers and Caddy write it
	}
	if strings.ContainsAny(host, "*{}_ ") {
		return "", Errorf(path, "%q is not one host; name the one people use", u.Host)
	}
	if !oauth.VisibleASCII(host) {
		label, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", Errorf(path, "%q is not a host name", u.Host)
		}
		return "", Errorf(path, "%q is not how browsers and clients write it; write %s://%s", text, u.Scheme, JoinHostPort(label, u.Port(), u.Scheme))
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && oauth.IsLoopbackHost(host):
	default:
		return "", Errorf(path, "%q is not https; write https://%s, with `tls internal` in the site if the name is not public, or use localhost for development", text, u.Host)
	}
	return u.Scheme + "://" + JoinHostPort(host, u.Port(), u.Scheme), nil
}

// validPort reports whether the port of a URL, if it has one, can be connected to.
func validPort(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}

// JoinHostPort returns the authority part of a URL without the default port.
func JoinHostPort(host, port, scheme string) string {
	if port == "" || (scheme == "https" && port == "443") || (scheme == "http" && port == "80") {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}

// IsLoopbackURL reports whether a URL leads to this machine.
func IsLoopbackURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && oauth.IsLoopbackHost(strings.ToLower(u.Hostname()))
}

// validOrigin checks a serialized web origin (RFC 6454 section 6.2) of any
// scheme: browser extensions and desktop applications have their own. "null" is
// anybody's. A host in upper case, which no browser sends for a site, exists
// only in other schemes.
func validOrigin(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !oauth.VisibleASCII(text) || strings.Contains(text, "*") || text != u.Scheme+"://"+u.Host {
		return false
	}
	return u.Scheme != "https" && u.Scheme != "http" || u.Host == strings.ToLower(u.Host)
}

// checkPageURL checks the URL of a page for people, where there is one.
func checkPageURL(field, text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || !oauth.VisibleASCII(text) || strings.ContainsAny(text, `{}<>"`) {
		return Errorf(field, "%q is not the URL of a page; write it as https://example.com/docs", text)
	}
	if u.User != nil {
		return Errorf(field, "the URL has a user name or password, and everybody can read it here; remove them")
	}
	return nil
}

// parseUpstream checks the URL of an upstream MCP server.
func parseUpstream(path, text, issuer string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, Errorf(path, "%q is not an http or https URL; write it as http://127.0.0.1:3001/mcp", text)
	}
	if !validPort(u) {
		return nil, Errorf(path, "%q has a port that does not exist; use one from 1 to 65535", text)
	}
	if u.User != nil {
		return nil, Errorf(path, "the upstream URL has a user name or password; set them with `auth headers`")
	}
	if u.Fragment != "" {
		return nil, Errorf(path, "the upstream URL has a fragment; remove the part from #")
	}
	if strings.ContainsAny(u.Host, "{}*") {
		return nil, Errorf(path, "the upstream URL needs one fixed host; choose among several with `proxy { to … }`")
	}
	if issuer != "" && u.Scheme+"://"+JoinHostPort(strings.ToLower(u.Hostname()), u.Port(), u.Scheme) == issuer {
		return nil, Errorf(path, "the upstream URL points back to this site; write the address the MCP server listens on")
	}
	return u, nil
}

// isSecureURL reports whether a URL may be sent credentials, or people.
func isSecureURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && oauth.IsLoopbackHost(strings.ToLower(u.Hostname()))
}
