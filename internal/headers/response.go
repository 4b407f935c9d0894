package headers

import (
	"net/http"
	"slices"
)

// notForClients are response headers of an upstream that would speak for the
// site: its authorization server, its cookies, its CORS policy, and what a
// browser remembers of the whole origin.
var notForClients = newSet(
	"Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
	"Set-Cookie", "Set-Cookie2", "Clear-Site-Data",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Strict-Transport-Security", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints", "Service-Worker-Allowed",
)

// set is a set of canonical header names.
type set struct {
	names [256][]string // by slot, which tells of most other names that they are not in it
}

func newSet(names ...string) *set {
	s := new(set)
	for _, name := range names {
		canonical := http.CanonicalHeaderKey(name)
		at := slot(canonical)
		s.names[at] = append(s.names[at], canonical)
	}
	return s
}

// slot spreads names over the table without reading all of them.
func slot(name string) byte {
	if name == "" {
		return 0
	}
	return byte(len(name))*31 + name[0]*7 + name[len(name)-1]
}

// has reports whether the set has a canonical name.
func (s *set) has(name string) bool {
	return slices.Contains(s.names[slot(name)], name)
}

// StripResponse removes in place what of an MCP server's response, whose names
// are canonical, must not reach a client.
func StripResponse(h http.Header) {
	for name := range h {
		if notForClients.has(name) {
			delete(h, name)
		}
	}
}
