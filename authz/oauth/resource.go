package oauth

import (
	"net/url"
	"strings"
)

const maxResourceBytes = 2048

// CanonicalResource returns the one spelling of a resource indicator (RFC 8707
// section 2) that is stored and compared: scheme and host in lower case, no
// default port, no slash at the end of the path. Everything else stays as it
// is, byte for byte. It reports false for what cannot be a resource.
func CanonicalResource(s string) (string, bool) {
	if len(s) > maxResourceBytes || strings.Contains(s, "#") {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return "", false
	}
	var defaultPort string
	switch u.Scheme { // in lower case already
	case "https":
		defaultPort = ":443"
	case "http":
		defaultPort = ":80"
	default:
		return "", false
	}
	_, rest, _ := strings.Cut(s, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	path := rest[end:]
	if !strings.Contains(path, "?") {
		path = strings.TrimSuffix(path, "/")
	}
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), defaultPort) + path, true
}
