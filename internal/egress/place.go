package egress

import (
	"net/netip"
	"strings"
)

// Place is from where a host can be reached, as far as its name tells.
type Place int

// The places.
const (
	// Machine: from this machine only.
	Machine Place = iota
	// Network: from the operator's network.
	Network
	// Internet: from anywhere.
	Internet
)

// privateSuffixes end names that mean something in one network only: reserved
// for that (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal), or widely used so
// and not delegated.
var privateSuffixes = []string{
	".internal", ".local", ".localdomain", ".lan", ".home", ".home.arpa", ".corp", ".intranet", ".intra", ".private",
	".test", ".invalid", ".onion", ".alt",
}

// PlaceOf returns the place of a host: an address, or a name without its port.
func PlaceOf(host string) Place {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		a = a.Unmap()
		switch {
		case a.IsLoopback() || a.IsUnspecified():
			return Machine
		case Public(a):
			return Internet
		}
		return Network
	}
	if isLocalName(host) {
		return Machine
	}
	if !strings.Contains(host, ".") {
		return Network
	}
	for _, suffix := range privateSuffixes {
		if strings.HasSuffix(host, suffix) {
			return Network
		}
	}
	return Internet
}
