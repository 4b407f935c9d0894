package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// cpuPairs are the results of measureCPU, pair by pair.
type cpuPairs struct {
	ratios, controls  []float64
	gateCPU, plainCPU []float64 // µs per call
	foreign           []float64 // cores
	// Latencies of a pair come from one core that both fill.
	gateLatency, plainLatency series
	meanwhile                 meanwhile
}

// noDearer is the highest ratio of what shall cost no more than what it is compared
// with, as far as this can be told from the noise.
const noDearer = 1.02

// measureCPU compares the CPU time of a gated call with a plain one: two
// processes on one core, loaded at the same time, many times over. The gate
// changes process from pair to pair, and each pair is followed by a control
// in which both processes proxy plainly.
func measureCPU(ctx context.Context, b *bench) error {
	b.progress("CPU time per call: %d concurrent pairs and as many controls, 16 connections each", b.pairs)
	all, err := b.compare(ctx, b.pairs, func(g *gateway, tokens []string) (gate, plain load, err error) {
		return g.gateLoad(16, tokens), g.plainLoad(16, tokens), nil
	})
	if err != nil {
		return err
	}
	return b.addCPU("CPU per call", "gate", "plain", all, noDearer)
}

// compare measures concurrent pairs of two kinds of load, which it is told for each of
// two gateways.
func (b *bench) compare(ctx context.Context, pairs int, kinds func(g *gateway, tokens []string) (measured, base load, err error)) (all cpuPairs, err error) {
	err = b.pinned(ctx, func(p, q *gateway, pTokens, qTokens []string) error {
		measured, same, err := kinds(p, pTokens)
		if err != nil {
			return err
		}
		other, base, err := kinds(q, qTokens)
		if err != nil {
			return err
		}
		stop, err := b.variant.begin(p, q)
		for i := 0; i < pairs && err == nil; i++ {
			if i > 0 {
				measured, same, other, base = other, base, measured, same
			}
			err = b.measureLoads(&all, measured, same, base, base)
		}
		all.meanwhile = stop()
		return errors.Join(err, all.meanwhile.err)
	})
	return all, err
}

// addCPU reports the pairs of one kind of call, compared with another. goal is the
// highest ratio that is well, 0 if none is too high.
func (b *bench) addCPU(what, side, base string, all cpuPairs, goal float64) error {
	if len(all.ratios) == 0 {
		return errors.New("the machine is too busy to measure anything")
	}
	target, reached := "", noGoal
	if goal > 0 {
		target, reached = fmt.Sprintf("≤ %.2f", goal), verdictOf(median(all.ratios) <= goal)
	}
	b.add(
		row{what + ", " + side + " / " + base, withInterval(all.ratios), "1", target, reached},
		row{"  control, " + base + " / " + base, withInterval(all.controls), "", "", noGoal},
		row{"  CPU per call, µs", fmt.Sprintf("%.0f", median(all.gateCPU)), fmt.Sprintf("%.0f", median(all.plainCPU)), "", noGoal},
		row{"  p50/p99 meanwhile, ms", all.gateLatency.latency(), all.plainLatency.latency(), "", noGoal},
		row{"  cores used by others meanwhile", fmt.Sprintf("%.2f", median(all.foreign)), "", "", noGoal},
	)
	b.chart(chart{
		title: what + ", ratio of concurrent pairs", goal: max(goal, noDearer),
		strips: []strip{{base + " / " + base + " (control)", all.controls}, {side + " / " + base, all.ratios}},
	})
	return nil
}

// measureLoads adds one pair, a load of one process and a load of another that it is
// compared with, and one control, in which both have the same load.
func (b *bench) measureLoads(all *cpuPairs, measured, same, other, sameOther load) error {
	watch := b.watchOthers(slices.Concat(measured.pids, other.pids)...)
	pair, err := runWindow(b.window/5, b.window, measured, other)
	if err != nil {
		return err
	}
	foreign := watch()
	control, err := runWindow(b.window/5, b.window, same, sameOther)
	if err != nil {
		return err
	}
	if starved(pair) || starved(control) {
		b.progress("a sample without a single call is left out: the machine is too busy")
		return nil
	}
	all.ratios = append(all.ratios, cpuRatio(pair))
	all.controls = append(all.controls, cpuRatio(control))
	all.gateCPU = append(all.gateCPU, microseconds(pair[0].cpuPerRequest()))
	all.plainCPU = append(all.plainCPU, microseconds(pair[1].cpuPerRequest()))
	all.foreign = append(all.foreign, foreign)
	all.gateLatency.add(pair[0])
	all.plainLatency.add(pair[1])
	return nil
}

// cpuRatio compares the CPU per call of two samples of the same window.
func cpuRatio(s []sample) float64 {
	return float64(s[0].cpuPerRequest()) / float64(s[1].cpuPerRequest())
}

func starved(samples []sample) bool {
	return slices.ContainsFunc(samples, func(s sample) bool { return s.requests == 0 })
}

// withInterval renders a median of ratios and how far it can be trusted.
func withInterval(ratios []float64) string {
	low, high := medianInterval(ratios)
	return fmt.Sprintf("%.3f (95 %%: %.3f–%.3f, n = %d)", median(ratios), low, high, len(ratios))
}

// pinned runs f with two gateways that share one core, and everything else on
// the other cores.
func (b *bench) pinned(ctx context.Context, f func(p, q *gateway, pTokens, qTokens []string) error) error {
	return b.pinnedWith(ctx, b, f)
}

// pinnedWith is pinned with the second gateway of another benchmark.
func (b *bench) pinnedWith(ctx context.Context, second *bench, f func(p, q *gateway, pTokens, qTokens []string) error) error {
	return b.besideOneCore(func() error {
		return b.withGateway(ctx, 1, func(p *gateway, pTokens []string) error {
			return second.withGateway(ctx, 1, func(q *gateway, qTokens []string) error {
				for _, g := range []*gateway{p, q} {
					if err := pin(g.pid(), 0); err != nil {
						return err
					}
				}
				return f(p, q, pTokens, qTokens)
			})
		})
	})
}

// besideOneCore runs f while this program and the MCP server leave one core to others.
func (b *bench) besideOneCore(f func() error) error {
	if runtime.NumCPU() < 2 {
		return errors.New("needs two CPUs")
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
	return f()
}

// watchOthers starts to watch the CPU that is used by none of these processes,
// the MCP server nor this program; the function it returns tells how many cores it
// was.
func (b *bench) watchOthers(pids ...int) func() float64 {
	pids = append(pids, os.Getpid(), b.upstreamPID)
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
