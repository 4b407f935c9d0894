package egress

import "net/netip"

// globalUnicast is all of IPv6 that is handed out to the internet. Outside it
// lie loopback, link-local, unique local, multicast, IPv4-mapped addresses and
// the NAT64 prefixes (RFC 6052, RFC 8215), which smuggle IPv4 ones.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// special are the networks that are not the public internet, from the IANA
// special-purpose address registries (RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),        // this network, RFC 791
	netip.MustParsePrefix("10.0.0.0/8"),       // private use, RFC 1918
	netip.MustParsePrefix("100.64.0.0/10"),    // shared address space, RFC 6598
	netip.MustParsePrefix("127.0.0.0/8"),      // loopback, RFC 1122
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's host agent: public by registry, internal by use
	netip.MustParsePrefix("169.254.0.0/16"),   // link-local, RFC 3927; cloud metadata services
	netip.MustParsePrefix("172.16.0.0/12"),    // private use, RFC 1918
	netip.MustParsePrefix("192.0.0.0/24"),     // IETF protocol assignments, RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),     // documentation, RFC 5737
	netip.MustParsePrefix("192.31.196.0/24"),  // AS112, RFC 7535
	netip.MustParsePrefix("192.52.193.0/24"),  // AMT, RFC 7450
	netip.MustParsePrefix("192.88.99.0/24"),   // 6to4 relays, RFC 7526
	netip.MustParsePrefix("192.168.0.0/16"),   // private use, RFC 1918
	netip.MustParsePrefix("192.175.48.0/24"),  // AS112, RFC 7534
	netip.MustParsePrefix("198.18.0.0/15"),    // benchmarking, RFC 2544
	netip.MustParsePrefix("198.51.100.0/24"),  // documentation, RFC 5737
	netip.MustParsePrefix("203.0.113.0/24"),   // documentation, RFC 5737
	netip.MustParsePrefix("224.0.0.0/4"),      // multicast, RFC 5771
	netip.MustParsePrefix("240.0.0.0/4"),      // reserved and broadcast, RFC 1112

	netip.MustParsePrefix("2001::/23"),         // IETF protocol assignments with Teredo, RFC 2928
	netip.MustParsePrefix("2001:db8::/32"),     // documentation, RFC 3849
	netip.MustParsePrefix("2002::/16"),         // 6to4, RFC 3056
	netip.MustParsePrefix("2620:4f:8000::/48"), // AS112, RFC 7534
	netip.MustParsePrefix("3fff::/20"),         // documentation, RFC 9637
}

// loopback is what Options.Loopback opens.
var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
}

// Public reports whether the address belongs to the public internet.
func Public(a netip.Addr) bool {
	if a.Is6() && !globalUnicast.Contains(a) { // nor does it contain any address with a zone
		return false
	}
	return !within(special, a)
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
