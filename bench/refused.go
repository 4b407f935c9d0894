package main

import (
	"context"
	"fmt"
	"strings"
)

// measureRefused measures what a stranger costs: calls with a token that was
// never issued, each another one. It is compared with a site that refuses
// everybody, with the same headers and as long a body. The two take turns, each
// with the core to itself: the target is a number of microseconds, not a ratio.
func measureRefused(ctx context.Context, b *bench) error {
	b.progress("refused calls, 16 connections")
	return b.pinned(ctx, func(p, q *gateway, _, _ []string) error {
		commits, err := p.commits()
		if err != nil {
			return err
		}
		refusing := func(g *gateway, addr string) load {
			return load{gateway: g, addr: addr, workers: 16, requests: strangers(addr), want: 401}
		}
		var gateCPU, plainCPU []float64
		for range 2 * b.rounds {
			gate, err := runWindow(b.window/5, b.window, refusing(p, p.gate))
			if err != nil {
				return err
			}
			plain, err := runWindow(b.window/5, b.window, refusing(q, q.refuse))
			if err != nil {
				return err
			}
			if starved(gate) || starved(plain) {
				continue
			}
			gateCPU = append(gateCPU, microseconds(gate[0].cpuPerRequest()))
			plainCPU = append(plainCPU, microseconds(plain[0].cpuPerRequest()))
		}
		after, err := p.commits()
		if err != nil {
			return err
		}
		b.add(
			row{
				"401: CPU µs per call (plain: respond 401, same headers)", fmt.Sprintf("%.1f", median(gateCPU)), fmt.Sprintf("%.1f", median(plainCPU)),
				"≤ 30", verdictOf(median(gateCPU) <= 30),
			},
			row{"401: writes to disk", fmt.Sprint(after - commits), "", "0", verdictOf(after == commits)},
		)
		b.chart(chart{title: "CPU of a refused call", unit: "µs", bars: []bar{
			{"plain respond 401", median(plainCPU)}, {"gate", median(gateCPU)},
		}})
		return nil
	})
}

// strangers returns calls with tokens of the right form that nobody issued.
func strangers(host string) requests {
	return func(worker int) func() []byte {
		const digits = "0123456789abcdef"
		token := "mcpat_" + strings.Repeat("A", 54)
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
