package egress

import (
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"
	"pgregory.net/rapid"
)

func TestSpecialAddresses_H01(t *testing.T) {
	refused := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
		"127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1",
		"192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
		"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:53aa:64c::1",
		"2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::",
		"2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
		"2606:4700::1%eth0", "fec0::1", "ff02::1",
	}
	for _, s := range refused {
		if Public(netip.MustParseAddr(s)) {
			t.Errorf("%s passed as public", s)
		}
	}
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "168.63.129.15", "168.63.129.17",
		"172.15.255.255", "172.32.0.1", "192.167.255.255", "198.17.255.255", "223.255.255.255",
		"2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450::1",
	} {
		if !Public(netip.MustParseAddr(s)) {
			t.Errorf("%s did not pass as public", s)
		}
	}
}

// A second implementation, made from the same registries by other people, must
// agree on every address but the one only we refuse.
func TestAgreesWithSecondOpinion_H01(t *testing.T) {
	oracle := ssrf.New()
	azure := netip.MustParseAddr("168.63.129.16")
	agree := func(t interface{ Errorf(string, ...any) }, a netip.Addr) {
		if want := oracle.SafeAddr(a) == nil; a != azure && Public(a) != want {
			t.Errorf("Public(%s) = %v, the second opinion is %v", a, !want, want)
		}
	}
	// The edges of every network, and what lies just outside.
	for _, n := range append(append([]netip.Prefix{globalUnicast}, special...), loopback...) {
		first := n.Masked().Addr()
		last := lastOf(n)
		for _, a := range []netip.Addr{first, first.Prev(), last, last.Next()} {
			if a.IsValid() {
				agree(t, a)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.SampledFrom(append([]netip.Prefix{globalUnicast, netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")}, special...)).Draw(t, "network")
		noise := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "noise")
		bytes := base.Addr().AsSlice()
		for i := base.Bits() / 8; i < len(bytes); i++ {
			bytes[i] ^= noise[i]
		}
		a, _ := netip.AddrFromSlice(bytes)
		agree(t, a)
	})
}

func lastOf(n netip.Prefix) netip.Addr {
	bytes := n.Masked().Addr().AsSlice()
	for i := n.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}
