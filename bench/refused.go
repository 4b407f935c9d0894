package main

import (
	"context"
	"fmt"
	"strings"
)

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
