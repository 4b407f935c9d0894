package caddymodule

import (
	"net/http"
	"slices"
)

// notForClients are response headers of an upstream that would speak for the
// site: its authorization server, its cookies, its CORS policy, and what a
// browser remembers of the whole origin.
var notForClients = newHeaderSet(
	"Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
	"Set-Cookie", "Set-Cookie2", "Clear-Site-Data",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Strict-Transport-Security", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints", "Service-Worker-Allowed",
)

// headerSet is a set of canonical header names.
type headerSet struct {
	names [256][]string // by slot, which tells of most other names that they are not in it
}

func newHeaderSet(names ...string) *headerSet {
	set := new(headerSet)
	for _, name := range names {
		canonical := http.CanonicalHeaderKey(name)
		s := slot(canonical)
		set.names[s] = append(set.names[s], canonical)
	}
	return set
}

// slot spreads names over the table without reading all of them.
func slot(name string) byte {
	if name == "" {
		return 0
	}
	return byte(len(name))*31 + name[0]*7 + name[len(name)-1]
}

// has reports whether the set has a canonical name.
func (set *headerSet) has(name string) bool {
	return slices.Contains(set.names[slot(name)], name)
}

// strip removes the headers of the set in place from a header whose names are
// canonical.
func (set *headerSet) strip(h http.Header) {
	for name := range h {
		if set.has(name) {
			delete(h, name)
		}
	}
}
