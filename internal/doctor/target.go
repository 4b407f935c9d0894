package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/oauth"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/egress"
)

// target is the address of the server that is examined, by which other addresses
// are judged.
type target struct{ *url.URL }

// parseTarget returns the address of a server as clients spell it.
func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return target{}, errors.New("this is no URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return target{}, errors.New("the URL of an MCP server starts with https://, or http:// on this machine")
	case u.User != nil:
		return target{}, errors.New("the URL has a user or password in it, which clients do not send")
	}
	u.Fragment, u.RawFragment = "", ""
	u.Host = strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return target{u}, nil
}

// onInternet reports whether all addresses of a host are. What has none is not.
func onInternet(ctx context.Context, o *Options, host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return egress.Public(a.Unmap())
	}
	resolver := o.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	return err == nil && len(addresses) > 0 &&
		!slices.ContainsFunc(addresses, func(a netip.Addr) bool { return !egress.Public(a.Unmap()) })
}

// checkAddress judges an address that a server names for clients to call.
func (t target) checkAddress(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return errors.New("no absolute URL")
	case u.Scheme == "https" || u.Scheme == "http" && t.Scheme == "http":
	case u.Scheme == "http" && oauth.IsLoopbackHost(u.Hostname()) && oauth.IsLoopbackHost(t.Hostname()):
	case u.Scheme == "http":
		return errors.New("http, where the server is https")
	default:
		return errors.New("not https")
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("a user or a fragment")
	}
	return nil
}

// differs says how a resource identifier is not the address of the server, or
// "" if it is. Of an origin without a path it is with and without a slash.
func (t target) differs(resource string) string {
	if resource == t.String() || strings.TrimSuffix(t.Path, "/") == "" && strings.TrimSuffix(resource, "/") == strings.TrimSuffix(t.String(), "/") {
		return ""
	}
	if resource == "" {
		return "resource is missing"
	}
	seen := fmt.Sprintf("resource is %s, and the server is %s", said(resource), t)
	u, err := url.Parse(resource)
	switch {
	case err != nil:
		return seen + ": no URL"
	case strings.TrimSuffix(resource, "/") == strings.TrimSuffix(t.String(), "/"):
		return seen + ": a slash at the end"
	case u.Host == t.Host && u.Path == t.Path:
		return seen + ": another scheme"
	case u.Scheme == t.Scheme && u.Host == t.Host:
		return seen + ": another path"
	case u.Path == t.Path:
		return seen + ": another host or port"
	}
	return seen
}

func (t target) checkIssuer(issuer string) error {
	if err := t.checkAddress(issuer); err != nil {
		return err
	}
	if strings.ContainsAny(issuer, "?#") {
		return errors.New("a query or a fragment")
	}
	return nil
}

// badEndpoint returns what is wrong with the first endpoint that cannot be used.
func (t target) badEndpoint(m *provider) string {
	for _, endpoint := range []struct{ name, url string }{
		{"authorization_endpoint", m.AuthorizationEndpoint},
		{"token_endpoint", m.TokenEndpoint},
		{"registration_endpoint", m.RegistrationEndpoint},
		{"revocation_endpoint", m.RevocationEndpoint},
	} {
		if endpoint.url == "" {
			continue
		}
		if err := t.checkAddress(endpoint.url); err != nil {
			return fmt.Sprintf("%s is %s: %v", endpoint.name, said(endpoint.url), err)
		}
	}
	return ""
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func (t target) origin() string { return origin(t.URL) }
