package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// listSizes are how many tools the lists have that are filtered.
var listSizes = []int{10, 500, 5000}

// listBody asks for a list of so many tools.
const listBody = `{"jsonrpc":"2.0","method":"tools/list","id":"%04d","params":{}}`

// rulesLines are access rules of which the last allows the tool that is called, and half
// of those that are listed.
func rulesLines(count int) string {
	var lines strings.Builder
	for i := range count - 1 {
		fmt.Fprintf(&lines, "deny delete_%d remove_%d_*\n", i, i)
	}
	return lines.String() + "allow search create_*"
}

// listOf returns a list of so many tools, as servers write them.
func listOf(tools int) []byte {
	var list bytes.Buffer
	list.WriteString(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`)
	for i := range tools {
		if i > 0 {
			list.WriteByte(',')
		}
		name := []string{"create_issue", "update_issue"}[i%2]
		fmt.Fprintf(&list, `{"name":"%s_%d","title":"Create an issue","description":"Creates an issue in a repository. Give it a title that says what is wrong, and what was expected.","inputSchema":{"type":"object","properties":{"owner":{"type":"string","description":"Who owns the repository"},"repo":{"type":"string"},"title":{"type":"string"},"labels":{"type":"array","items":{"type":"string"}}},"required":["owner","repo","title"]},"annotations":{"readOnlyHint":false,"destructiveHint":false}}`, name, i)
	}
	list.WriteString(`]}}`)
	return list.Bytes()
}

// ruledCalls sends the calls of gateLoad to the site with so many access rules.
func (g *gateway) ruledCalls(rules int, tokens []string) load {
	return load{pids: []int{g.pid()}, addr: g.ruled[rules], workers: 16, requests: callsWith(g.ruled[rules], tokens), want: 200}
}

// listCalls ask a site for the list of so many tools.
func (g *gateway) listCalls(addr string, tools int, tokens []string) load {
	body := fmt.Sprintf(listBody, tools)
	calls := callsWithBody(addr, tokens, body)
	return load{pids: []int{g.pid()}, addr: addr, workers: 16, requests: calls, want: 200}
}

// measureRules compares calls of servers with 0, 10 and 1,000 access rules, and lists
// that ten of them filter, with plain ones.
func measureRules(ctx context.Context, b *bench) error {
	b.progress("access rules: the handler alone")
	alone, err := goBenchmark(ctx, "^BenchmarkRules$", "-benchtime", "20000x")
	if err != nil {
		return err
	}
	none := alone["rules0"]
	if none.ns == 0 || alone["rules1000"].ns == 0 || alone["condition"].ns == 0 {
		return errors.New("go test printed no result of BenchmarkRules")
	}
	b.add(row{"handler alone, call with 0 rules", none.String(), "", "", noGoal})
	for _, rules := range []int{10, 1000} {
		with := alone[fmt.Sprint("rules", rules)]
		b.add(row{
			fmt.Sprintf("handler alone, call with %d rules", rules), with.String(), "", "≤ 0 rules + 2000 ns; as many allocs with 10 as with 1,000",
			verdictOf(with.ns <= none.ns+2000 && with.allocs == alone["rules10"].allocs),
		})
	}
	b.add(row{"handler alone, call with a condition about its arguments", alone["condition"].String(), "", "", noGoal})
	b.progress("access rules: allocations")
	if err := b.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
		for _, rules := range []int{0, 10, 1000} {
			if err := reportRuledAllocations(b, g, rules, tokens); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, rules := range []int{0, 10, 1000} {
		what := fmt.Sprintf("CPU per call with %d rules", rules)
		_, err := measureRuled(ctx, b, what, rules, func(g *gateway, addr string, tokens []string) load {
			return load{pids: []int{g.pid()}, addr: addr, workers: 16, requests: callsWith(addr, tokens), want: 200}
		})
		if err != nil {
			return err
		}
	}
	for _, tools := range listSizes {
		what := fmt.Sprintf("CPU per list of %d tools, 10 rules", tools)
		all, err := measureRuled(ctx, b, what, 10, func(g *gateway, addr string, tokens []string) load { return g.listCalls(addr, tools, tokens) })
		if err != nil {
			return err
		}
		more := median(all.gateCPU) - median(all.plainCPU)
		target, reached := "", noGoal
		if tools == 500 {
			target, reached = "≤ 300", verdictOf(more <= 300)
		}
		b.add(row{"  more than plain, µs", fmt.Sprintf("%.0f", more), "", target, reached})
	}
	return nil
}

func reportRuledAllocations(b *bench, g *gateway, rules int, tokens []string) error {
	ruled, err := g.signInMany(g.ruled[rules], knownTokens)
	if err != nil {
		return err
	}
	plain, err := allocationsPer(g, g.plainLoad(16, tokens), b.allocRequests)
	if err != nil {
		return err
	}
	gate, err := allocationsPer(g, g.ruledCalls(rules, ruled), b.allocRequests)
	if err != nil {
		return err
	}
	b.add(row{
		fmt.Sprintf("allocations per call with %d rules", rules), gate.String(),
		plain.String(), "≤ plain", verdictOf(gate.count <= plain.count),
	})
	return nil
}

// measureRuled compares the same requests of a site with access rules and of the plain
// one, in fewer pairs than those that are told from the noise by a hundredth.
func measureRuled(ctx context.Context, b *bench, what string, rules int, requests func(g *gateway, addr string, tokens []string) load) (all cpuPairs, err error) {
	b.progress("%s", what)
	all, err = b.compare(ctx, max(2, b.pairs/6), func(g *gateway, tokens []string) (gate, plain load, err error) {
		ruled, err := g.signInMany(g.ruled[rules], knownTokens)
		return requests(g, g.ruled[rules], ruled), requests(g, g.plain, tokens), err
	})
	if err != nil {
		return all, err
	}
	return all, b.addCPU(what, "gate", "plain", all, 0)
}
