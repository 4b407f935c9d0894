package main

import (
	"context"
	"fmt"
	"strings"
)

// knownTokens is how many callers take turns.
const knownTokens = 64

// callBody is a tools/call as clients send it.
var callBody = func() string {
	const head, tail = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search","arguments":{"query":"`, `"}}}`
	return head + strings.Repeat("q", 240-len(head)-len(tail)) + tail
}()

// call returns a tools/call with the token.
func call(host, token string) []byte { return post(host, token, callBody) }

// post returns a request with the token. headers are more lines.
func post(host, token, body string, headers ...string) []byte {
	return fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n"+
		"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"+
		"MCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n%s",
		host, token, len(body), strings.Join(headers, ""), body)
}

// callsWith returns calls whose tokens take turns; workers start apart.
func callsWith(host string, tokens []string) requests { return callsWithBody(host, tokens, callBody) }

func callsWithBody(host string, tokens []string, body string) requests {
	all := make([][]byte, len(tokens))
	for i, token := range tokens {
		all[i] = post(host, token, body)
	}
	return takingTurns(all)
}

func takingTurns(all [][]byte) requests {
	return func(worker int) func() []byte {
		i := worker * 7
		return func() []byte {
			i++
			return all[i%len(all)]
		}
	}
}

// plainLoad and gateLoad send the same calls to either site.
func (g *gateway) plainLoad(workers int, tokens []string) load {
	return load{pids: []int{g.pid()}, addr: g.plain, workers: workers, requests: callsWith(g.plain, tokens), want: 200}
}

func (g *gateway) gateLoad(workers int, tokens []string) load {
	return load{pids: []int{g.pid()}, addr: g.gate, workers: workers, requests: callsWith(g.gate, tokens), want: 200}
}

// withGateway runs f with a fresh gateway and tokens that its gate accepts.
func (b *bench) withGateway(ctx context.Context, procs int, f func(g *gateway, tokens []string) error) error {
	g, err := b.startGateway(ctx, procs)
	if err != nil {
		return err
	}
	defer g.stop()
	tokens, err := g.signInMany(g.gate, knownTokens)
	if err != nil {
		return err
	}
	return f(g, tokens)
}

// measureAllocations counts what one proxied call allocates. The count hardly
// moves from run to run, whatever else the machine does.
func measureAllocations(ctx context.Context, b *bench) error {
	b.progress("allocations per proxied call")
	return b.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
		plain, err := allocationsPer(g, g.plainLoad(16, tokens), b.allocRequests)
		if err != nil {
			return err
		}
		gate, err := allocationsPer(g, g.gateLoad(16, tokens), b.allocRequests)
		if err != nil {
			return err
		}
		b.add(row{
			"allocations per call", gate.String(),
			plain.String(), "≤ plain", verdictOf(gate.count <= plain.count),
		})
		b.chart(chart{title: "Allocations per proxied call", unit: "", bars: []bar{
			{"plain Caddy", plain.count}, {"gate", gate.count},
		}})
		return nil
	})
}

type allocations struct{ count, bytes float64 }

func (a allocations) String() string { return fmt.Sprintf("%.1f (%.0f B)", a.count, a.bytes) }

func allocationsPer(g *gateway, l load, n int) (allocations, error) {
	if err := l.runCount(n / 10); err != nil { // connections and pools
		return allocations{}, err
	}
	before, err := g.memory(false)
	if err != nil {
		return allocations{}, err
	}
	if err := l.runCount(n); err != nil {
		return allocations{}, err
	}
	after, err := g.memory(false)
	if err != nil {
		return allocations{}, err
	}
	sent := float64(n / l.workers * l.workers)
	return allocations{
		float64(after.Mallocs-before.Mallocs) / sent,
		float64(after.TotalAlloc-before.TotalAlloc) / sent,
	}, nil
}

// measureThroughput alternates plain and gated load on one process that may
// use the whole machine.
func measureThroughput(ctx context.Context, b *bench) error {
	return b.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
		for _, workers := range []int{1, 16, 64} {
			b.progress("throughput and latency, %d connections", workers)
			var plain, gate series
			for range b.rounds {
				for _, side := range []struct {
					load  load
					serie *series
				}{{g.plainLoad(workers, tokens), &plain}, {g.gateLoad(workers, tokens), &gate}} {
					s, err := runWindow(b.window/5, b.window, side.load)
					if err != nil {
						return err
					}
					side.serie.add(s[0])
				}
			}
			ratios := make([]float64, len(gate.rates))
			for i := range ratios {
				ratios[i] = gate.rates[i] / plain.rates[i]
			}
			b.add(row{
				fmt.Sprintf("calls/s at %d, p50/p99 ms", workers), gate.String(), plain.String(),
				fmt.Sprintf("ratio %.3f", median(ratios)), noGoal,
			})
			b.chart(chart{title: fmt.Sprintf("Calls per second, %d connections", workers), bars: []bar{
				{"plain Caddy", median(plain.rates)}, {"gate", median(gate.rates)},
			}})
		}
		return nil
	})
}

// series is the same measurement several times.
type series struct{ rates, p50, p99 []float64 }

func (s *series) add(x sample) {
	s.rates = append(s.rates, x.rate())
	s.p50 = append(s.p50, milliseconds(quantile(x.latency, 0.5)))
	s.p99 = append(s.p99, milliseconds(quantile(x.latency, 0.99)))
}

func (s *series) String() string { return fmt.Sprintf("%.0f, %s", median(s.rates), s.latency()) }

// latency renders medians of p50 and p99.
func (s *series) latency() string { return fmt.Sprintf("%.2f/%.2f", median(s.p50), median(s.p99)) }
