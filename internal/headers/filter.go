package headers

import (
	"net/http"
	"slices"
	"strings"
)

// passed are the request headers that go from a client to an MCP server: what
// describes the request itself. All others end here. What servers and the
// frameworks they are written in trust about callers has no end of names, so
// listing what may pass is the only list that can be complete.
var passed = []string{
	// MCP's own, besides all that start with Mcp-.
	"Mcp-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name", "Last-Event-Id",
	// The content, and what the client would like in return (RFC 9110 sections 8, 10 and 12).
	"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Digest", "Repr-Digest",
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Expect", "Prefer", "Priority", "User-Agent",
	"Early-Data", // no proxy may remove it (RFC 8470 section 5.1)
	// Caching, conditions and ranges (RFC 9110 sections 13 and 14, RFC 9111).
	"Cache-Control", "Pragma", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range",
	// Tracing: W3C, B3, Jaeger, Sentry, Datadog, the clouds, and plain request ids.
	"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags",
	"Uber-Trace-Id", "Sentry-Trace", "X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Sampling-Priority", "X-Datadog-Origin",
	"X-Datadog-Tags", "X-Cloud-Trace-Context", "X-Amzn-Trace-Id", "X-Request-Id", "X-Correlation-Id",
	// reverse_proxy takes these from trusted_proxies only, and sets them itself.
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via",
}

// MCPPrefix starts the names that belong to MCP, also those of revisions to come.
const MCPPrefix = "Mcp-"

// Filter says which request headers of a client go on to one MCP server.
type Filter struct {
	names    *set
	prefixes []string // canonical
	// ours are, as Fold writes them, the names that only the site sets and
	// those that pass in their one spelling. No prefix lets another one in.
	ours map[string]bool
}

// NewFilter returns the filter of a server to which, besides what always
// passes, more goes on: names, and prefixes that end in *. ours are the headers
// that the site sets.
func NewFilter(more, ours []string) *Filter {
	f := &Filter{ours: make(map[string]bool, len(ours))}
	for _, name := range ours {
		f.ours[Fold(name)] = true
	}
	names := slices.DeleteFunc(slices.Clone(passed), func(name string) bool { return f.ours[Fold(name)] })
	for _, name := range passed { // also not from a client that spells it otherwise
		f.ours[Fold(name)] = true
	}
	for _, name := range more {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			f.prefixes = append(f.prefixes, http.CanonicalHeaderKey(prefix))
			continue
		}
		names = append(names, name)
	}
	f.names = newSet(names...)
	return f
}

// Strip removes in place what does not pass. It reports whether a single value
// is left of each header that has only one: of several, the gate would judge
// by the first and the server perhaps by the last.
func (f *Filter) Strip(h http.Header) (unambiguous bool) {
	unambiguous = true
	for name, values := range h {
		switch {
		case !f.names.has(name) && !f.hasPrefix(name):
			delete(h, name)
		case len(values) > 1 && isSingle(name):
			h[name] = slices.Compact(values)
			unambiguous = unambiguous && len(h[name]) == 1
		}
	}
	return unambiguous
}

// Passes returns the header that passes to every server and that name is, in
// whatever spelling.
func Passes(name string) (known string, ok bool) {
	i := slices.IndexFunc(passed, func(known string) bool { return Fold(known) == Fold(name) })
	if i < 0 {
		return "", false
	}
	return passed[i], true
}

// isSingle reports whether a request has at most one value of a header that
// decides what the request is.
func isSingle(name string) bool {
	switch name {
	case "Content-Type", "Content-Length", "Content-Encoding", "Last-Event-Id":
		return true
	}
	return strings.HasPrefix(name, MCPPrefix)
}

// hasPrefix reports whether a name passes by its beginning.
func (f *Filter) hasPrefix(name string) bool {
	if strings.HasPrefix(name, MCPPrefix) {
		return !strings.ContainsFunc(name, folded) && !f.ours[Fold(name)]
	}
	matches := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return len(f.prefixes) > 0 && slices.ContainsFunc(f.prefixes, matches) && !f.ours[Fold(name)]
}

// Fold returns what all spellings of a header name have in common that
// some server takes for the same name: CGI, WSGI and their like make one
// variable of X-User, X_USER and X.User.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case folded(r):
			return '-'
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return r
	}, name)
}

// folded reports whether a character of a header name is another spelling of '-'.
func folded(r rune) bool {
	return r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}
