package caddymodule

import (
	"net/http"
	"slices"
	"strings"
)

// neverUpstream are request headers that end at the gateway.
var neverUpstream = []string{
	// Credentials for us (MCP authorization: the client's token must not
	// reach the upstream).
	"Authorization", "Proxy-Authorization", "Cookie", "Dpop",
	// Hop by hop. Connection could also name headers to drop, and there is no
	// upgrade in MCP: an upgraded connection would escape the gate.
	"Connection", "Keep-Alive", "Proxy-Connection", "Upgrade", "Http2-Settings",
	// Of the browser. The gate has judged the origin; the upstream would
	// compare it with its own.
	"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User",
	// Words of proxies about who calls, and from where, which servers believe.
	// reverse_proxy sets X-Forwarded-For, -Host and -Proto itself.
	"Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Uri",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Preferred-Username",
	"X-Auth-Request-Access-Token", "Remote-User", "Remote-Email", "Remote-Groups", "Remote-Name", "X-Remote-User",
	"X-Remote-Email", "X-Remote-Groups", "X-Webauth-User", "X-Authenticated-User",
}

// notForClients are response headers of an upstream that would speak for the
// site: its authorization server, its cookies, its CORS policy, and what a
// browser remembers of the whole origin.
var notForClients = newHeaderSet([]string{
	"Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
	"Set-Cookie", "Set-Cookie2", "Clear-Site-Data",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Strict-Transport-Security", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints", "Service-Worker-Allowed",
})

// headerSet is a set of canonical header names.
type headerSet struct {
	names [256][]string // by slot, which tells of most other names that they are not in it
}

func newHeaderSet(lists ...[]string) *headerSet {
	set := new(headerSet)
	for _, name := range slices.Concat(lists...) {
		s := slot(name)
		set.names[s] = append(set.names[s], http.CanonicalHeaderKey(name))
	}
	return set
}

// slot picks by what all spellings of a name have in common.
func slot(name string) byte {
	if name == "" {
		return 0
	}
	first, last := name[0]|0x20, name[len(name)-1]|0x20 // letters in lower case
	return byte(len(name))*31 + first*7 + last
}

// strip removes the headers of the set in place, also when they are spelt with
// _ or . for -, which many servers take for the same name.
func (set *headerSet) strip(h http.Header) {
	for name := range h {
		if names := set.names[slot(name)]; len(names) > 0 && (slices.Contains(names, name) || hasVariant(names, name)) {
			delete(h, name)
		}
	}
}

// stripCanonical removes the headers of the set in place from a header whose
// names are canonical.
func (set *headerSet) stripCanonical(h http.Header) {
	for name := range h {
		if slices.Contains(set.names[slot(name)], name) {
			delete(h, name)
		}
	}
}

// hasVariant reports whether another spelling of the name is among the names,
// which are those of its slot.
func hasVariant(names []string, name string) bool {
	if strings.IndexByte(name, '_') < 0 && strings.IndexByte(name, '.') < 0 {
		return false
	}
	return slices.Contains(names, http.CanonicalHeaderKey(dashed.Replace(name)))
}

var dashed = strings.NewReplacer("_", "-", ".", "-")
