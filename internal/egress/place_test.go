package egress

import "testing"

func TestPlaceOf(t *testing.T) {
	for host, want := range map[string]Place{
		"mcp.example.com": Internet, "MCP.Example.Com.": Internet, "8.8.8.8": Internet, "2a00:1450::1": Internet,
		"internal.example.com": Internet, "lan.example": Internet, "homearpa.org": Internet,
		"localhost": Machine, "mcp.LOCALHOST": Machine, "127.0.0.1": Machine, "127.9.9.9": Machine, "::1": Machine, "[::1]": Machine,
		"::ffff:127.0.0.1": Machine, "0.0.0.0": Machine,
		"mcp": Network, "mcp.": Network, "mcp.internal": Network, "mcp.LOCAL.": Network, "nas.lan": Network, "nas.home.arpa": Network,
		"x.corp": Network, "x.intranet": Network, "x.test": Network, "x.localdomain": Network,
		"10.1.2.3": Network, "172.16.0.1": Network, "192.168.1.1": Network, "100.64.0.1": Network, "169.254.1.1": Network,
		"fd00::1": Network, "fe80::1%eth0": Network, "::ffff:10.0.0.1": Network, "2001:db8::1": Network, "": Network,
	} {
		if got := PlaceOf(host); got != want {
			t.Errorf("%q: %d, want %d", host, got, want)
		}
	}
}
