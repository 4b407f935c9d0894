package oauth

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURILen bounds what is kept or compared.
const maxURILen = 2 << 10

// IsHTTPSURI reports whether uri is a plain https URI with nothing in it that
// two readers might take differently.
func IsHTTPSURI(uri string) bool {
	rest, ok := strings.CutPrefix(uri, "https:")
	return ok && len(uri) <= maxURILen && PlainURI(uri) && strings.HasPrefix(rest, "//") && PlainAuthority(Authority(rest))
}

// Authority returns the authority of what follows a scheme: "//host:port/path".
func Authority(rest string) string {
	rest = rest[len("//"):]
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i]
	}
	return rest
}

// PlainURI reports whether a URI has only bytes of RFC 3986, no fragment, no
// wildcard and no dot segment, not even an encoded one.
func PlainURI(uri string) bool {
	for _, c := range []byte(uri) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("#*\"<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	path, query, _ := strings.Cut(uri, "?")
	path, err := url.PathUnescape(path)
	if err != nil || HasControlCharacter(path) {
		return false
	}
	if query, err = url.PathUnescape(query); err != nil || HasControlCharacter(query) {
		return false
	}
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func HasControlCharacter(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// PlainAuthority reports whether an authority is a host name in A-label form
// or an IP address, with an optional port, and nothing else.
func PlainAuthority(authority string) bool {
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
