package access

import (
	"strconv"
	"strings"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/identity"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/spelling"
)

// maxName is the longest name or URI that is judged. Whatever is longer is denied.
const maxName = 4096

// readings are the ways in which a server may read a name. Of most names all are
// the same text.
type readings struct {
	plain, folded string
	// Of a URI: clean is in one spelling, and path is that without its query.
	clean, foldedClean string
	path, foldedPath   string
}

func readingsOf(item *Item) (n readings) {
	n.plain, n.folded = item.Name, fold(item.Name)
	if !item.Kind.isURI() {
		return n
	}
	n.clean, n.foldedClean, n.path, n.foldedPath = n.plain, n.folded, n.plain, n.folded
	if !isCleanURI(n.plain) {
		n.clean, n.path = cleanURI(n.plain), cleanURI(withoutQuery(n.plain))
		n.foldedClean, n.foldedPath = fold(n.clean), fold(n.path)
	}
	return n
}

func (n *readings) isClean() bool { return n.clean == n.plain && n.path == n.plain }

// fold returns what a name looks like: names that a server may take for each other,
// as it folds case, normalises Unicode or drops blanks, are the same.
func fold(name string) string {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' {
			return foldRest(name)
		}
	}
	return name
}

func foldRest(name string) string {
	name = strings.Map(func(r rune) rune {
		if identity.Invisible(r) {
			return -1
		}
		return r
	}, name)
	return strings.TrimSpace(spelling.Fold(name))
}

// isCleanURI reports whether a URI has one reading only. Most have.
func isCleanURI(uri string) bool {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found || scheme == "file" && !strings.HasPrefix(rest, "/") {
		return false
	}
	for i := range len(scheme) {
		if c := scheme[i]; (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	inAuthority := true
	for i := range len(rest) {
		switch c := rest[i]; {
		case c <= ' ', c >= 0x7f, c == '%', c == '\\', c == '?', c == '#':
			return false
		case c == '/':
			inAuthority = false
			if i+1 < len(rest) && (rest[i+1] == '/' || rest[i+1] == '.') {
				return false
			}
		case inAuthority && 'A' <= c && c <= 'Z':
			return false
		}
	}
	return true
}

// cleanURI returns a URI as a server could read it that decodes whatever is encoded,
// strips what URL parsers strip, takes a backslash for a slash, and walks the path.
func cleanURI(uri string) string {
	uri = decode(uri)
	uri = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\\':
			return '/'
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, uri))
	scheme, rest, found := strings.Cut(uri, ":")
	if !found {
		return walk(uri)
	}
	scheme = strings.ToLower(scheme)
	authority := ""
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?#")
		if end < 0 {
			end = len(after)
		}
		authority, rest = strings.ToLower(after[:end]), after[end:]
	} else if scheme != "file" { // mailto:x and the like
		return scheme + ":" + walk(rest)
	}
	if scheme == "file" {
		if rest != "" || !strings.HasSuffix(authority, "*") { // of a pattern, for any path
			rest = "/" + rest
		}
		if authority == "localhost" {
			authority = ""
		}
	}
	return scheme + "://" + authority + walk(rest)
}

// maxDecoded is how often a server is thought to decode.
const maxDecoded = 4

func decode(uri string) string {
	for range maxDecoded {
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
		if len(decoded) == len(uri) {
			return uri
		}
		uri = string(decoded)
	}
	return uri
}

// walk removes segments that are empty, . and .. from a path (RFC 3986 section
// 5.2.4), of which a server's file system knows nothing.
func walk(path string) string {
	segments := strings.Split(path, "/")
	kept := segments[:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case i == 0 || s != "" && s != "." && s != "..":
			kept = append(kept, s)
		case s == ".." && len(kept) > 1:
			kept = kept[:len(kept)-1]
		}
		if last && i > 0 && (s == "" || s == "." || s == "..") {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
}

// withoutQuery returns a URI without query and fragment.
func withoutQuery(uri string) string {
	if end := strings.IndexAny(uri, "?#"); end >= 0 {
		return uri[:end]
	}
	return uri
}
