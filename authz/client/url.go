package client

import (
	"net/url"
	"strings"
)

// Origin returns scheme, host and port of a URL in one spelling, without a
// default port, or "" for what is no URL.
func Origin(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return origin(u)
}

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

// SameIssuer reports whether two issuers are one. They are compared byte by
// byte (RFC 8414 section 3.3), but for a slash that is the whole path: https
// URLs with and without it are one and the same (RFC 3986 section 6.2.3).
func SameIssuer(a, b string) bool { return withoutEmptyPath(a) == withoutEmptyPath(b) }

func withoutEmptyPath(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	if i := strings.IndexAny(rest, "/?#"); i > 0 && rest[i:] == "/" {
		return strings.TrimSuffix(issuer, "/")
	}
	return issuer
}

// maxLoggedURL is the length up to which a URL of a server or provider is logged.
const maxLoggedURL = 256

// LoggedURL returns a URL that a server or provider wrote as it may be logged:
// what could hold a secret is left out, and what is no URL is not repeated.
func LoggedURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "none"
	case err != nil || u.Hostname() == "" || u.User != nil || len(raw) > maxLoggedURL || !visible(raw):
		return "no proper URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
