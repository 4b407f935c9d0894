package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// measureHandler runs the Go benchmark of the handler alone: all that happens
// to a call before reverse_proxy, with neither network nor proxy, nor the
// collection of what it leaves to the garbage collector.
func measureHandler(ctx context.Context, b *bench) error {
	var bars []bar
	for _, grants := range b.grants {
		b.progress("the handler alone, %d grants", grants)
		results, err := benchmarkHandler(ctx, grants)
		if err != nil {
			return err
		}
		hot, cold := results["hot"], results["cold"]
		if audited, ok := results["audited"]; ok {
			b.add(row{fmt.Sprintf("handler alone, %d grants, hot, with an audit log", grants), audited.String(), "", "", noGoal})
		}
		b.add(
			row{
				fmt.Sprintf("handler alone, %d grants, hot (%d callers)", grants, min(grants, 1000)), hot.String(), "",
				"≤ 1000 ns, ≤ 3 allocs", verdictOf(hot.ns <= 1000 && hot.allocs <= 3),
			},
			row{
				fmt.Sprintf("handler alone, %d grants, cold", grants), cold.String(), "",
				"≤ 6000 ns", verdictOf(cold.ns <= 6000),
			},
		)
		bars = append(bars, bar{fmt.Sprintf("%d grants, hot", grants), hot.ns}, bar{fmt.Sprintf("%d grants, cold", grants), cold.ns})
	}
	b.chart(chart{title: "The handler alone", unit: "ns", bars: bars})
	return nil
}

// result is one line of a Go benchmark.
type result struct {
	ns     float64
	allocs int
}

func (r result) String() string { return fmt.Sprintf("%.0f ns, %d allocs", r.ns, r.allocs) }

var resultLine = regexp.MustCompile(`(?m)^Benchmark\w+/(\w+)(?:#\d+)?(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s+\d+ B/op\s+(\d+) allocs/op$`)

func benchmarkHandler(ctx context.Context, grants int) (map[string]result, error) {
	results, err := goBenchmark(ctx, "^BenchmarkHandler$", "-grants", strconv.Itoa(grants))
	if err == nil && (results["hot"].ns == 0 || results["cold"].ns == 0) {
		err = errors.New("go test printed no result of BenchmarkHandler")
	}
	return results, err
}

// goBenchmark runs a benchmark of the handler, and returns the medians by name.
func goBenchmark(ctx context.Context, name string, arguments ...string) (map[string]result, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "./caddymodule", "-run", "^$", "-bench", name, "-timeout", "30m"}, arguments...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s%s", err, out, &stderr)
	}
	ns, allocs := map[string][]float64{}, map[string]int{}
	for _, m := range resultLine.FindAllSubmatch(out, -1) {
		t, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(string(m[3]))
		if err != nil {
			return nil, err
		}
		name := string(m[1])
		ns[name], allocs[name] = append(ns[name], t), max(allocs[name], n)
	}
	results := map[string]result{}
	for name := range ns {
		results[name] = result{median(ns[name]), allocs[name]}
	}
	return results, nil
}
