package main

import (
	"context"
	"fmt"
)

// signedSites are where something is signed: what it is called, and its address.
var signedSites = []struct {
	name string
	addr func(*gateway) string
}{
	{"JWT as access token", func(g *gateway) string { return g.jwt }},
	{"identity_jwt", func(g *gateway) string { return g.told }},
}

// signedCalls sends the calls of gateLoad to another site.
func (g *gateway) signedCalls(addr string, workers int, tokens []string) load {
	return load{pids: []int{g.pid()}, addr: addr, workers: workers, requests: callsWith(addr, tokens), want: 200}
}

// measureSigned compares calls with a JWT as access token, and those of which the
// MCP server is told who makes them, with gated calls without either.
func measureSigned(ctx context.Context, b *bench) error {
	for _, site := range signedSites {
		b.progress("calls with %s", site.name)
		if err := b.withGateway(ctx, 0, func(g *gateway, opaque []string) error {
			return b.measureSignedAllocations(g, site.name, site.addr(g), opaque)
		}); err != nil {
			return err
		}
		all, err := b.compare(ctx, b.pairs, func(g *gateway, opaque []string) (signed, gated load, err error) {
			tokens, err := g.signInMany(site.addr(g), knownTokens)
			return g.signedCalls(site.addr(g), 16, tokens), g.gateLoad(16, opaque), err
		})
		if err != nil {
			return err
		}
		if err := b.addCPU("CPU per call", site.name, "gate", all, noDearer); err != nil {
			return err
		}
	}
	return nil
}

// measureSignedAllocations counts what such a call allocates beyond a gated one, and
// that it writes nothing.
func (b *bench) measureSignedAllocations(g *gateway, name, addr string, opaque []string) error {
	tokens, err := g.signInMany(addr, knownTokens)
	if err != nil {
		return err
	}
	gate, err := allocationsPer(g, g.gateLoad(16, opaque), b.allocRequests)
	if err != nil {
		return err
	}
	before, err := g.commits()
	if err != nil {
		return err
	}
	signed, err := allocationsPer(g, g.signedCalls(addr, 16, tokens), b.allocRequests)
	if err != nil {
		return err
	}
	after, err := g.commits()
	if err != nil {
		return err
	}
	b.add(
		row{
			"allocations per call, " + name + " / gate", signed.String(),
			gate.String(), "≤ gate + 1", verdictOf(signed.count <= gate.count+1),
		},
		row{"  writes to disk", fmt.Sprint(after - before), "", "≤ 1", verdictOf(after-before <= 1)},
	)
	return nil
}
