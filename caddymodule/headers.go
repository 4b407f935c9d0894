package caddymodule

import (
	"net/http"
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
}

// neverToClient are response headers of an upstream that would speak for the
// site: its authorization server, its cookies, its CORS policy.
var neverToClient = []string{
	"Www-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
	"Set-Cookie", "Set-Cookie2", "Clear-Site-Data",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
}

// headerSet is a set of canonical header names.
type headerSet map[string]struct{}

func newHeaderSet(lists ...[]string) headerSet {
	set := headerSet{}
	for _, names := range lists {
		for _, name := range names {
			set[http.CanonicalHeaderKey(name)] = struct{}{}
		}
	}
	return set
}

// strip removes the headers of the set in place, also when they are spelt with
// _ or . for -, which many servers take for the same name.
func (set headerSet) strip(h http.Header) {
	for name := range h {
		if _, drop := set[name]; drop || set.hasVariant(name) {
			delete(h, name)
		}
	}
}

func (set headerSet) hasVariant(name string) bool {
	if strings.IndexByte(name, '_') < 0 && strings.IndexByte(name, '.') < 0 {
		return false
	}
	_, drop := set[http.CanonicalHeaderKey(dashed.Replace(name))]
	return drop
}

var dashed = strings.NewReplacer("_", "-", ".", "-")

func stripResponse(h http.Header) {
	for _, name := range neverToClient {
		delete(h, name)
	}
}
