package oauth

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

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

// RedirectURIRegistrable reports whether a client may register the redirect
// URI: https anywhere, http to loopback, or one of the private-use schemes.
// Whatever two programs might read differently is refused: user information,
// fragments, wildcards, dot segments, every byte RFC 3986 leaves out, and a
// query that would give the client an answer twice.
func RedirectURIRegistrable(uri string, schemes []string) bool {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || rest == "" || len(uri) > maxURILen || !PlainURI(uri) || answersAlready(rest) {
		return false
	}
	switch {
	case scheme == "http":
		_, _, loopback := splitLoopback(uri)
		return loopback
	case scheme == "https":
		return IsHTTPSURI(uri)
	case slices.Contains(schemes, scheme) && CheckRedirectScheme(scheme) == nil:
		return !strings.HasPrefix(rest, "//") || PlainAuthority(Authority(rest))
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

// RedirectURIAllowed reports whether an authorization request may name the
// redirect URI: byte for byte one that is registered (OAuth 2.1 section
// 2.3.1), except that a native app may listen on any port of the loopback
// host it registered (RFC 8252 section 7.3).
func RedirectURIAllowed(registered []string, requested string) bool {
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
