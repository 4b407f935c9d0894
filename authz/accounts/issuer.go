package accounts

import (
	"net/url"
	"strings"
)

// sameIssuer reports whether two issuers are one. They are compared byte by
// byte (RFC 8414 section 3.3), but for a slash that is the whole path: https
// URLs with and without it are one and the same (RFC 3986 section 6.2.3).
func sameIssuer(a, b string) bool { return withoutEmptyPath(a) == withoutEmptyPath(b) }

func withoutEmptyPath(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	if i := strings.IndexAny(rest, "/?#"); i > 0 && rest[i:] == "/" {
		return strings.TrimSuffix(issuer, "/")
	}
	return issuer
}

// maxLoggedURL is how much of a stranger's URL is worth a line in the log.
const maxLoggedURL = 256

// loggedURL returns a URL that a server or provider wrote as it may be logged:
// what could hold a secret is left out, and what is no URL is not repeated.
func loggedURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "none"
	case err != nil || u.Host == "" || u.User != nil || len(raw) > maxLoggedURL || !visible(raw):
		return "no proper URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
