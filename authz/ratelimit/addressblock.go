package ratelimit

import (
	"net/netip"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// addressLevel is a size of block that addresses are given out in.
type addressLevel struct {
	bits int
	// times is how often the limit of a single address the whole block has.
	// Its holder gets more, and people who only share it are not in each
	// other's way.
	times int
}

// The levels at which addresses are counted, the narrowest first. One
// subscriber holds a /64, a /56 or a /48 of IPv6 (RFC 6177); an IPv4 network is
// rented by the /24.
var (
	levelsIPv4 = []addressLevel{{bits: 32, times: 1}, {bits: 24, times: 16}}
	levelsIPv6 = []addressLevel{{bits: 64, times: 1}, {bits: 56, times: 4}, {bits: 48, times: 16}}
)

// AddressBlock returns the narrowest block around an IP address that is counted:
// the address itself, or the /64 of an IPv6 one. Other texts are returned as
// they are.
func AddressBlock(address string) string {
	a, levels := parseAddress(address)
	if levels == nil {
		return address
	}
	return blockOf(a, levels[0])
}

// Quota returns what a person at the address counts towards who proves nothing.
func Quota(address string, perAddress int) *storage.Quota {
	times := 1
	if _, levels := parseAddress(address); levels != nil {
		times = levels[len(levels)-1].times
	}
	return &storage.Quota{
		Key: storage.HashOf(AddressBlock(address)), Max: perAddress,
		Block: storage.HashOf(SenderBlock(address)), MaxBlock: times * perAddress,
	}
}

// SenderBlock returns the widest block around an IP address that is counted: all
// that one sender could hold.
func SenderBlock(address string) string {
	a, levels := parseAddress(address)
	if levels == nil {
		return address
	}
	return blockOf(a, levels[len(levels)-1])
}

// parseAddress returns the address with its levels; it has none if it is not
// an IP address.
func parseAddress(address string) (netip.Addr, []addressLevel) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return a, nil
	}
	if a = a.Unmap(); a.Is4() {
		return a, levelsIPv4
	}
	return a.WithZone(""), levelsIPv6
}

func blockOf(a netip.Addr, level addressLevel) string {
	if level.bits == a.BitLen() {
		return a.String()
	}
	p, err := a.Prefix(level.bits)
	if err != nil {
		return a.String() // not reached: every level has fewer bits than its addresses
	}
	return p.String()
}
