package main

import (
	"context"
	"fmt"
	"strings"
)

// observations are what an operator can turn on to see more of what happens.
var observations = []struct {
	name    string
	options string // in the global block; {home} is a folder
	gate    string // in the block of the gate
	free    bool   // it shall cost a call nothing
}{
	{"metrics on", "metrics", "", true}, // Caddy's own, which both sides have
	{"audit on", "log audit {\n\t\tinclude mcp_oauth_audit\n\t\toutput file {home}/audit.log\n\t}", "audit on", false},
}

// measureObserved compares calls again with plain ones, while more is recorded of them.
func measureObserved(ctx context.Context, b *bench) error {
	for _, o := range observations {
		b.progress("calls with %s", o.name)
		with := *b
		with.options, with.gateOptions = o.options, o.gate
		if err := with.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
			return with.measureObservedAllocations(g, tokens, o.name, o.free)
		}); err != nil {
			return err
		}
		var all cpuPairs
		err := with.pinned(ctx, func(p, q *gateway, pTokens, qTokens []string) error {
			for i := range with.pairs {
				if i > 0 {
					p, q, pTokens, qTokens = q, p, qTokens, pTokens
				}
				if err := with.measurePair(&all, p, q, p.gateLoad(16, pTokens), pTokens, qTokens); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := with.addCPU("CPU per call, "+o.name, "gate", "plain", all, o.free); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureObservedAllocations(g *gateway, tokens []string, name string, free bool) error {
	plain, err := allocationsPer(g, g.plainLoad(16, tokens), b.allocRequests)
	if err != nil {
		return err
	}
	gate, err := allocationsPer(g, g.gateLoad(16, tokens), b.allocRequests)
	if err != nil {
		return err
	}
	target, reached := "", noGoal
	if free {
		target, reached = "≤ plain", verdictOf(gate.count <= plain.count)
	}
	b.add(row{
		"allocations per call, " + name, fmt.Sprintf("%.1f (%.0f B)", gate.count, gate.bytes),
		fmt.Sprintf("%.1f (%.0f B)", plain.count, plain.bytes), target, reached,
	})
	return nil
}

// globalOptions returns the lines for a gateway that has its files in home.
func (b *bench) globalOptions(home string) string {
	return strings.ReplaceAll(b.options, "{home}", home)
}
