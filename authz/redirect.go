package authz

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	maxRedirectURIs   = 10
	maxRedirectURILen = 2 << 10
)

// loopbackHosts are the only hosts that may be redirected to over http (OAuth
// 2.1 section 8.4.2). They are three different hosts: one never stands for
// another.
var loopbackHosts = []string{"127.0.0.1", "[::1]", "localhost"}

// KnownRedirectSchemes are the private-use schemes of well-known MCP clients,
// and of editors that have one built in. A code that is sent to one of them goes
// to the program that the person installed under that name.
var KnownRedirectSchemes = []string{
	"antigravity", "claude", "code-oss", "com.raycast", "cursor", "grok", "hopperai", "kiro", "mcpjam", "positron", "raycast",
	"trae", "vscode", "vscode-insiders", "vscodium", "warp", "warppreview", "windsurf", "zed",
}

// neverRedirect are schemes that make a browser or system run, open, install or
// hand over something. No configuration can allow them, nor any of Microsoft's
// "ms-" ones.
var neverRedirect = []string{
	"about", "blob", "chrome", "chrome-extension", "content", "data", "facetime", "file", "filesystem", "ftp", "hcp", "http", "https",
	"intent", "itms-services", "jar", "javascript", "ldap", "mailto", "mhtml", "moz-extension", "ms-appinstaller", "ms-msdt", "res",
	"search-ms", "shell", "sip", "sms", "smb", "ssh", "tel", "telnet", "vbscript", "view-source", "ws", "wss",
	"x-apple.systempreferences",
}

// CheckRedirectScheme reports why a private-use scheme (RFC 8252 section 7.1)
// cannot be allowed for redirects.
func CheckRedirectScheme(scheme string) error {
	if slices.Contains(neverRedirect, scheme) || strings.HasPrefix(scheme, "ms-") {
		return errors.New("a redirect must never go to this scheme")
	}
	for i, c := range []byte(scheme) {
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9') && c != '+' && c != '-' && c != '.') {
			return errors.New("a scheme is lower-case letters, digits, '+', '-' and '.', and starts with a letter")
		}
	}
	if scheme == "" {
		return errors.New("a scheme has a name")
	}
	return nil
}

// redirectURIRegistrable reports whether a client may register the redirect
// URI: https anywhere, http to loopback, or one of the private-use schemes.
// Whatever two programs might read differently is refused: user information,
// fragments, wildcards, dot segments, every byte RFC 3986 leaves out, and a
// query that would give the client an answer twice.
func redirectURIRegistrable(uri string, schemes []string) bool {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || rest == "" || len(uri) > maxRedirectURILen || !plainURI(uri) || answersAlready(rest) {
		return false
	}
	switch {
	case scheme == "http":
		_, _, loopback := splitLoopback(uri)
		return loopback
	case scheme == "https":
		return isHTTPSURI(uri)
	case slices.Contains(schemes, scheme) && CheckRedirectScheme(scheme) == nil:
		return !strings.HasPrefix(rest, "//") || plainAuthority(authority(rest))
	}
	return false
}

// answersAlready reports whether a query has a parameter of an authorization
// response, which must have each only once (OAuth 2.1 section 4.1.2, RFC 9207
// section 2).
func answersAlready(uri string) bool {
	_, query, _ := strings.Cut(uri, "?")
	for parameter := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(parameter, "=")
		switch name, _ = url.QueryUnescape(name); name {
		case "code", "state", "iss", "error", "error_description", "error_uri":
			return true
		}
	}
	return false
}

// authority returns the authority of what follows a scheme: "//host:port/path".
func authority(rest string) string {
	rest = rest[len("//"):]
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i]
	}
	return rest
}

// plainURI reports whether a URI has only bytes of RFC 3986, no fragment, no
// wildcard and no dot segment, not even an encoded one.
func plainURI(uri string) bool {
	for _, c := range []byte(uri) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("#*\"<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	path, query, _ := strings.Cut(uri, "?")
	path, err := url.PathUnescape(path)
	if err != nil || hasControl(path) {
		return false
	}
	if query, err = url.PathUnescape(query); err != nil || hasControl(query) {
		return false
	}
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// plainAuthority reports whether an authority is a host name in A-label form
// or an IP address, with an optional port, and nothing else.
func plainAuthority(authority string) bool {
	host := authority
	if h, port, err := net.SplitHostPort(authority); err == nil {
		if !validPort(port) {
			return false
		}
		if host = h; strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(inner, "]")
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

// validPort reports whether the port is written the one way it can be.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == port
}

// redirectURIAllowed reports whether an authorization request may name the
// redirect URI: byte for byte one that is registered (OAuth 2.1 section
// 2.3.1), except that a native app may listen on any port of the loopback
// host it registered (RFC 8252 section 7.3).
func redirectURIAllowed(registered []string, requested string) bool {
	if slices.Contains(registered, requested) {
		return true
	}
	host, rest, ok := splitLoopback(requested)
	if !ok {
		return false
	}
	return slices.ContainsFunc(registered, func(uri string) bool {
		h, r, ok := splitLoopback(uri)
		return ok && h == host && r == rest
	})
}

// splitLoopback splits an http URI to a loopback host into that host and what
// follows its port.
func splitLoopback(uri string) (host, rest string, ok bool) {
	after, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", "", false
	}
	for _, host := range loopbackHosts {
		rest, ok := strings.CutPrefix(after, host)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			end := strings.IndexAny(port, "/?")
			if end < 0 {
				end = len(port)
			}
			if !validPort(port[:end]) {
				return "", "", false
			}
			rest = port[end:]
		}
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return host, rest, true
		}
	}
	return "", "", false
}
