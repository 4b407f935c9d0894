package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// knownTokens is how many callers take turns.
const knownTokens = 64

// callBody is a tools/call as clients send it.
var callBody = func() string {
	const head, tail = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search","arguments":{"query":"`, `"}}}`
	return head + strings.Repeat("q", 240-len(head)-len(tail)) + tail
}()

// call returns a tools/call with the token.
func call(host, token string) []byte {
	return fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n"+
		"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"+
		"MCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		host, token, len(callBody), callBody)
}

// callsWith returns calls whose tokens take turns; workers start apart.
func callsWith(host string, tokens []string) requests {
	all := make([][]byte, len(tokens))
	for i, token := range tokens {
		all[i] = call(host, token)
	}
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
	return load{gateway: g, addr: g.plain, workers: workers, requests: callsWith(g.plain, tokens), want: 200}
}

func (g *gateway) gateLoad(workers int, tokens []string) load {
	return load{gateway: g, addr: g.gate, workers: workers, requests: callsWith(g.gate, tokens), want: 200}
}

// withGateway runs f with a fresh gateway and tokens that its gate accepts.
func (b *bench) withGateway(ctx context.Context, procs int, f func(g *gateway, tokens []string) error) error {
	g, err := startGateway(ctx, b.caddy, b.dir, b.upstream, procs)
	if err != nil {
		return err
	}
	defer g.stop()
	tokens, err := g.signInMany(knownTokens)
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
			"allocations per call", fmt.Sprintf("%.1f (%.0f B)", gate.count, gate.bytes),
			fmt.Sprintf("%.1f (%.0f B)", plain.count, plain.bytes), "≤ plain", verdictOf(gate.count <= plain.count),
		})
		b.chart(chart{title: "Allocations per proxied call", unit: "", bars: []bar{
			{"plain Caddy", plain.count}, {"gate", gate.count},
		}})
		return nil
	})
}

type allocations struct{ count, bytes float64 }

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

// pinned runs f with two gateways that share one core, and everything else on
// the other cores.
func (b *bench) pinned(ctx context.Context, f func(p, q *gateway, pTokens, qTokens []string) error) error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("needs two CPUs")
	}
	var rest, all []int
	for c := range runtime.NumCPU() {
		all = append(all, c)
		if c > 0 {
			rest = append(rest, c)
		}
	}
	for _, pid := range []int{os.Getpid(), b.upstreamPID} {
		if err := pin(pid, rest...); err != nil {
			return err
		}
		defer func() { _ = pin(pid, all...) }()
	}
	return b.withGateway(ctx, 1, func(p *gateway, pTokens []string) error {
		return b.withGateway(ctx, 1, func(q *gateway, qTokens []string) error {
			for _, g := range []*gateway{p, q} {
				if err := pin(g.pid(), 0); err != nil {
					return err
				}
			}
			return f(p, q, pTokens, qTokens)
		})
	})
}

// measureCPU compares the CPU time of a gated call with a plain one: two
// processes on one core, loaded at the same time, many times over. The gate
// changes process from pair to pair, and each pair is followed by a control
// in which both processes proxy plainly.
func measureCPU(ctx context.Context, b *bench) error {
	b.progress("CPU time per call: %d concurrent pairs and as many controls, 16 connections each", b.pairs)
	return b.pinned(ctx, func(p, q *gateway, pTokens, qTokens []string) error {
		var ratios, controls, plainCPU, gateCPU, foreign []float64
		for i := range b.pairs {
			gated, plain := p.gateLoad(16, pTokens), q.plainLoad(16, qTokens)
			if i%2 == 1 {
				gated, plain = q.gateLoad(16, qTokens), p.plainLoad(16, pTokens)
			}
			watch := b.watchOthers(p, q)
			s, err := runWindow(b.window/5, b.window, gated, plain)
			if err != nil {
				return err
			}
			foreign = append(foreign, watch())
			ratios = append(ratios, float64(s[0].cpuPerRequest())/float64(s[1].cpuPerRequest()))
			gateCPU = append(gateCPU, microseconds(s[0].cpuPerRequest()))
			plainCPU = append(plainCPU, microseconds(s[1].cpuPerRequest()))

			control := []load{p.plainLoad(16, pTokens), q.plainLoad(16, qTokens)}
			if i%2 == 1 {
				control[0], control[1] = control[1], control[0]
			}
			if s, err = runWindow(b.window/5, b.window, control...); err != nil {
				return err
			}
			controls = append(controls, float64(s[0].cpuPerRequest())/float64(s[1].cpuPerRequest()))
		}
		low, high := medianInterval(ratios)
		controlLow, controlHigh := medianInterval(controls)
		b.add(
			row{
				"CPU per call, gate / plain", fmt.Sprintf("%.3f (95 %%: %.3f–%.3f)", median(ratios), low, high),
				"1", "≤ 1.02", verdictOf(median(ratios) <= 1.02),
			},
			row{"  control, plain / plain", fmt.Sprintf("%.3f (95 %%: %.3f–%.3f)", median(controls), controlLow, controlHigh), "", "", noGoal},
			row{"  CPU per call, µs", fmt.Sprintf("%.0f", median(gateCPU)), fmt.Sprintf("%.0f", median(plainCPU)), "", noGoal},
			row{"  cores used by others meanwhile", fmt.Sprintf("%.2f", median(foreign)), "", "", noGoal},
		)
		b.chart(chart{
			title: "CPU per call, ratio of concurrent pairs", goal: 1.02,
			strips: []strip{{"plain / plain (control)", controls}, {"gate / plain", ratios}},
		})
		return nil
	})
}

// watchOthers starts to watch the CPU that is used by neither of the gateways,
// the MCP server nor this program; the function it returns tells how many cores it
// was.
func (b *bench) watchOthers(gateways ...*gateway) func() float64 {
	pids := []int{os.Getpid(), b.upstreamPID}
	for _, g := range gateways {
		pids = append(pids, g.pid())
	}
	others := func() time.Duration {
		total, err := machineCPU()
		if err != nil {
			return 0
		}
		for _, pid := range pids {
			if cpu, err := processCPU(pid); err == nil {
				total -= cpu
			}
		}
		return total
	}
	start, before := time.Now(), others()
	return func() float64 { return max(0, float64(others()-before)/float64(time.Since(start))) }
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

func (s *series) String() string {
	return fmt.Sprintf("%.0f, %.2f/%.2f", median(s.rates), median(s.p50), median(s.p99))
}

// measureRefused measures what a stranger costs: calls with a token that was
// never issued, each another one.
func measureRefused(ctx context.Context, b *bench) error {
	b.progress("refused calls, 16 connections")
	return b.pinned(ctx, func(p, q *gateway, _, qTokens []string) error {
		refused := load{gateway: p, addr: p.gate, workers: 16, requests: strangers(p.gate), want: 401}
		commits, err := p.commits()
		if err != nil {
			return err
		}
		var cpu, rates []float64
		for range b.rounds {
			s, err := runWindow(b.window/5, b.window, refused)
			if err != nil {
				return err
			}
			cpu = append(cpu, microseconds(s[0].cpuPerRequest()))
			rates = append(rates, s[0].rate())
		}
		after, err := p.commits()
		if err != nil {
			return err
		}
		b.add(
			row{"401: CPU µs per call", fmt.Sprintf("%.1f (%.0f/s on one core)", median(cpu), median(rates)), "", "≤ 30", verdictOf(median(cpu) <= 30)},
			row{"401: writes to disk", fmt.Sprint(after - commits), "", "0", verdictOf(after == commits)},
		)
		return nil
	})
}

// strangers returns calls with tokens of the right shape that nobody issued.
func strangers(host string) requests {
	return func(worker int) func() []byte {
		const digits = "0123456789abcdef"
		token := "mcpat_" + strings.Repeat("A", 43)
		request := call(host, token)
		at := strings.Index(string(request), token) + len("mcpat_")
		n := worker << 32
		return func() []byte {
			n++
			for i, v := at, n; i < at+16; i, v = i+1, v>>4 {
				request[i] = digits[v&15]
			}
			return request
		}
	}
}
