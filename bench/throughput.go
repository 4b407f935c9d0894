package main

import (
	"context"
	"fmt"
)

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
