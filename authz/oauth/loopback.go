package oauth

import (
	"net/netip"
	"strings"
)

// loopbackHosts are the only hosts that may be redirected to over http (OAuth
// 2.1 section 8.4.2). They are three different hosts: one never stands for
// another.
var loopbackHosts = []string{"127.0.0.1", "[::1]", "localhost"}

// IsLoopbackHost reports whether the host of a URL, in any case, is this
// machine: localhost or any loopback address.
func IsLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// isLoopbackOrigin reports whether a web page comes from this machine, such as a
// development tool. A page that only rebinds its name to a loopback address
// keeps its own origin.
func isLoopbackOrigin(origin string) bool {
	after, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		after, ok = strings.CutPrefix(origin, "https://")
	}
	if !ok {
		return false
	}
	_, rest, ok := cutLoopbackHost(after)
	return ok && rest == ""
}

// splitLoopback splits an http URI to a loopback host into that host and what
// follows its port.
func splitLoopback(uri string) (host, rest string, ok bool) {
	after, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", "", false
	}
	return cutLoopbackHost(after)
}

// cutLoopbackHost splits what follows "//" in a URI into its host, if that is
// one of loopbackHosts, and what follows its port.
func cutLoopbackHost(after string) (host, rest string, ok bool) {
	for _, host := range loopbackHosts {
		rest, ok := strings.CutPrefix(after, host)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			end := strings.IndexAny(port, "/?")
			if end < 0 {
				end = len(port)
			}
			if !validPort(port[:end]) {
				return "", "", false
			}
			rest = port[end:]
		}
		if rest == "" || rest[0] == '/' || rest[0] == '?' {
			return host, rest, true
		}
	}
	return "", "", false
}
