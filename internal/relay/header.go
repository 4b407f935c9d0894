package relay

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// isHopByHop reports whether a header, whose name is canonical, is about one connection
// (RFC 9110 section 7.6.1), or about who may use another (Alt-Svc).
func isHopByHop(name string) bool {
	switch name {
	case "Alt-Svc", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// named returns the headers that Connection names, in their canonical spelling.
func named(h http.Header) (names []string) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			names = append(names, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return names
}

// addEndToEnd adds what is not about one connection to the headers that there are. The
// values are shared: the message that they came with is used for nothing else.
func addEndToEnd(to, from http.Header) {
	for _, name := range named(from) {
		delete(from, name)
	}
	for name, values := range from {
		if !isHopByHop(name) {
			to[name] = after(to[name], values)
		}
	}
}

// after returns values after others, which stay as they are.
func after(before, values []string) []string {
	if len(before) == 0 {
		return values
	}
	return slices.Concat(before, values)
}

// via is what a message has to say of us, by the protocol it was received with
// (RFC 9110 section 7.6.3). The name is Caddy's, as that is who others see.
func via(major, minor int) string {
	switch [2]int{major, minor} {
	case [2]int{1, 1}:
		return "1.1 Caddy"
	case [2]int{2, 0}:
		return "2.0 Caddy"
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor) + " Caddy"
}
