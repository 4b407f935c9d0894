package access

import (
	"net/netip"
	"strconv"
	"strings"

	whatwg "github.com/nlnwa/whatwg-url/url"
)

// steps are what servers may do with a URI that they read.
var steps = []func(string) string{
	decode, strip, turnSlashes, normalise, asciiHost, walk, walkKeepingEmpty, withoutQuery, untilNUL, withoutBroken, withoutAuthority,
}

// allSteps are these, and those that lead out of no folder.
var allSteps = append(steps[:len(steps):len(steps)], withoutDots, withoutParameters, plusAsBlank)

// oneSpelling returns a URI after those steps that leave it the same for whoever takes
// them.
func oneSpelling(uri string) string {
	for plain := decode(uri); plain != uri; plain = decode(uri) {
		uri = plain
	}
	return walk(asciiHost(normalise(turnSlashes(strip(uri)))))
}

// decode decodes what is encoded, once.
func decode(uri string) string {
	if strings.IndexByte(uri, '%') < 0 {
		return uri
	}
	decoded := make([]byte, 0, len(uri))
	for i := 0; i < len(uri); i++ {
		c := uri[i]
		if c == '%' && i+2 < len(uri) {
			if b, err := strconv.ParseUint(uri[i+1:i+3], 16, 8); err == nil {
				c = byte(b)
				i += 2
			}
		}
		decoded = append(decoded, c)
	}
	return string(decoded)
}

// strip drops what URL parsers drop: control characters, and blanks around.
func strip(uri string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, uri))
}

func turnSlashes(uri string) string { return strings.ReplaceAll(uri, `\`, "/") }

// split returns the parts of a URI: the scheme with its colon, the authority behind two
// slashes, and the rest.
func split(uri string) (scheme, authority, rest string) {
	scheme, rest, found := strings.Cut(uri, ":")
	if !found {
		return "", "", uri
	}
	scheme += ":"
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?#")
		if end < 0 {
			end = len(after)
		}
		authority, rest = "//"+after[:end], after[end:]
	}
	return scheme, authority, rest
}

// defaultPorts are those that a URI need not have.
var defaultPorts = map[string]string{"http:": "80", "ws:": "80", "https:": "443", "wss:": "443", "ftp:": "21"}

// normalise writes scheme and authority in one way.
func normalise(uri string) string {
	scheme, authority, rest := split(uri)
	lower, host := strings.ToLower(scheme), strings.ToLower(authority)
	switch {
	case lower != "file:":
		host = hostOf(lower, host)
	case host == "", host == "//localhost":
		host = "//"
	}
	if lower == "file:" && !strings.HasPrefix(rest, "/") && (rest != "" || !strings.HasSuffix(host, "*")) { // of a pattern, for any path
		rest = "/" + rest
	} else if lower == scheme && host == authority {
		return uri
	}
	return lower + host + rest
}

// hostOf returns an authority without what is the same without it.
func hostOf(scheme, authority string) string {
	host, port := authority, ""
	if at := strings.LastIndexByte(authority, ':'); at > strings.LastIndexAny(authority, "@]") {
		host, port = authority[:at], authority[at:]
	}
	isDefault := port == ":" || strings.TrimLeft(strings.TrimPrefix(port, ":"), "0") == defaultPorts[scheme]
	if isDefault && !strings.HasSuffix(host, "*") { // of a pattern, for any port
		port = ""
	}
	if host = strings.TrimSuffix(host, "."); len(host)+len(port) == len(authority) {
		return authority
	}
	return host + port
}

// maxHost is more than a host has, each of whose bytes is encoded.
const maxHost = 1024

// asciiHost writes the host of a URL as browsers do: numbers as the address that they
// are, and names in other scripts as DNS has them (WHATWG URL Standard, host parsing).
func asciiHost(uri string) string {
	scheme, authority, rest := split(uri)
	if _, isURL := defaultPorts[strings.ToLower(scheme)]; !isURL || len(authority) <= len("//") || len(authority) > maxHost {
		return uri
	}
	host := authority[max(strings.LastIndexByte(authority, '@')+1, len("//")):]
	if isPlainHost(host) {
		return uri
	}
	parsed, err := whatwg.Parse("http://" + host)
	if err != nil {
		return uri
	}
	name, port := host, ""
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		name, port = host[:at], host[at:]
	}
	if ascii := parsed.Hostname(); ascii != "" && ascii != name {
		return scheme + authority[:len(authority)-len(host)] + ascii + port + rest
	}
	return uri
}

// isPlainHost reports whether a host has no other spelling: it is a name in lower case,
// or an address as everybody writes it.
func isPlainHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '[' || c == ':' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	label := host[strings.LastIndexByte(host, '.')+1:]
	if label == "" || label[0] < '0' || '9' < label[0] {
		return label != ""
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// withoutAuthority leaves out what some do not look at: whose the files are, and who
// somebody is at a host.
func withoutAuthority(uri string) string {
	scheme, authority, rest := split(uri)
	at := strings.LastIndexByte(authority, '@')
	switch isFile := strings.EqualFold(scheme, "file:"); {
	case isFile && len(authority) > 2:
		return scheme + "//" + rest
	case !isFile && at >= 0:
		return scheme + "//" + authority[at+1:] + rest
	}
	return uri
}

// walk removes segments that are empty, . and .. from the path, of which a file system
// knows nothing.
func walk(uri string) string { return walkPath(uri, false) }

// walkKeepingEmpty leaves empty ones, as URL parsers do (RFC 3986 section 5.2.4).
func walkKeepingEmpty(uri string) string { return walkPath(uri, true) }

func walkPath(uri string, keepEmpty bool) string {
	scheme, authority, path := split(uri)
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.Contains(path, "/%2") && !strings.HasPrefix(path, ".") && !strings.HasPrefix(path, "%2") {
		return uri
	}
	head := scheme + authority
	if rest, ok := strings.CutPrefix(path, "/"); ok {
		head, path = head+"/", rest
	}
	segments := strings.Split(path, "/")
	kept, end := segments[:0], ""
	for i, s := range segments {
		last, dots := i == len(segments)-1, dotsOf(s)
		switch {
		case dots == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		case dots == "" && (s != "" || keepEmpty && !last):
			kept = append(kept, s)
		}
		if last && (s == "" || dots != "") && len(kept) > 0 {
			end = "/"
		}
	}
	return head + strings.Join(kept, "/") + end
}

var encodedDots = strings.NewReplacer("%2e", ".", "%2E", ".")

// dotsOf returns the dots that a segment of a path is, if it is one or two. URL parsers
// know them encoded, too.
func dotsOf(segment string) string {
	if len(segment) <= len("%2e%2e") {
		if s := encodedDots.Replace(segment); s == "." || s == ".." {
			return s
		}
	}
	return ""
}

// withoutQuery returns a URI without query and fragment.
func withoutQuery(uri string) string {
	if end := strings.IndexAny(uri, "?#"); end >= 0 {
		return uri[:end]
	}
	return uri
}

// untilNUL returns what a program takes for all that ends texts with NUL.
func untilNUL(uri string) string {
	before, _, _ := strings.Cut(uri, "\x00")
	return before
}

// withoutBroken leaves out bytes that are not UTF-8, as decoders do that ignore errors.
func withoutBroken(uri string) string { return strings.ToValidUTF8(uri, "") }

// stream is how Windows calls a file that has no other name.
const stream = "::$DATA"

// withoutDots drops what Windows drops at the end of segments.
func withoutDots(uri string) string {
	if !endsLong(uri) {
		return uri
	}
	return eachSegment(uri, func(s string) string {
		if dotsOf(s) != "" {
			return s
		}
		if at := len(s) - len(stream); at > 0 && strings.EqualFold(s[at:], stream) {
			s = s[:at]
		}
		return strings.TrimRight(s, ". ")
	})
}

// endsLong reports whether a segment may have at its end what Windows drops.
func endsLong(uri string) bool {
	for i := 1; i <= len(uri); i++ {
		if (i == len(uri) || uri[i] == '/') && strings.IndexByte(". aA", uri[i-1]) >= 0 {
			return true
		}
	}
	return false
}

// withoutParameters drops what is behind a semicolon, as many do with URLs.
func withoutParameters(uri string) string {
	if strings.IndexByte(uri, ';') < 0 {
		return uri
	}
	return eachSegment(uri, func(s string) string {
		s, _, _ = strings.Cut(s, ";")
		return s
	})
}

// eachSegment changes the segments of the path.
func eachSegment(uri string, change func(string) string) string {
	scheme, authority, path := split(uri)
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = change(s)
	}
	return scheme + authority + strings.Join(segments, "/")
}

// plusAsBlank reads a plus as forms mean it.
func plusAsBlank(uri string) string { return strings.ReplaceAll(uri, "+", " ") }
