package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// measureAuthorizationServer measures the endpoints that store something. All
// of their answers are on disk before they are sent.
func measureAuthorizationServer(ctx context.Context, b *bench) error {
	return b.withGateway(ctx, 0, func(g *gateway, _ []string) error {
		steps, err := g.countSteps(g.commits)
		if err != nil {
			return err
		}
		b.add(row{"commits: " + stepNames, fmt.Sprint(steps), "", "≤ 1 each", verdictOf(slices.Max(steps) <= 1)})
		measurements := []*measurement{
			{what: "registrations/s", workers: 1, goal: 1_500, job: registering},
			{what: "registrations/s", workers: 64, goal: 5_000, job: registering},
			{what: "sign-ins/s (six requests each)", workers: 1, job: signingIn},
			{what: "sign-ins/s (six requests each)", workers: 16, goal: 800, job: signingIn},
			{what: "refreshes/s", workers: 1, goal: 1_200, job: refreshing},
			{what: "refreshes/s", workers: 16, goal: 3_000, job: refreshing},
		}
		var disk []float64
		for round := range b.rounds { // in turns, so that a bad moment of the machine hits all alike
			b.progress("authorization server: registrations, sign-ins, refreshes, round %d of %d", round+1, b.rounds)
			sync, err := diskSyncRate(b.dir, b.window)
			if err != nil {
				return err
			}
			disk = append(disk, sync)
			for _, m := range measurements {
				r, err := g.repeat(m.workers, b.window, m.job)
				if err != nil {
					return fmt.Errorf("%s: %w", m.what, err)
				}
				m.add(r)
			}
		}
		b.add(row{"disk: 4 KiB fsyncs/s, one after the other", fmt.Sprintf("%.0f", median(disk)), "", "", noGoal})
		for _, m := range measurements {
			m.report(b, median(disk))
		}
		return nil
	})
}

// measurement is a job that many workers repeat, and how often they could, round
// by round.
type measurement struct {
	what    string
	workers int
	goal    float64
	job     func(*person) (func() error, error)

	rate, p99, cpu, commits []float64 // 1/s, ms, µs, 1
}

func (m *measurement) add(r repetition) {
	m.rate = append(m.rate, r.rate)
	m.p99 = append(m.p99, milliseconds(r.p99))
	m.cpu = append(m.cpu, microseconds(r.cpu))
	m.commits = append(m.commits, r.commitsPerStep)
}

// report adds the medians to the table.
func (m *measurement) report(b *bench, sync float64) {
	rate := median(m.rate)
	title := fmt.Sprintf("%s, %d at a time", m.what, m.workers)
	result := row{title, fmt.Sprintf("%.0f (%.2f × disk), p99 %.1f ms", rate, rate/sync, median(m.p99)), "", "", noGoal}
	if m.goal > 0 {
		result.target, result.met = fmt.Sprintf("≥ %.0f", m.goal), verdictOf(rate >= m.goal)
	}
	b.add(result, row{
		"  slowest and fastest round", fmt.Sprintf("%.0f–%.0f", slices.Min(m.rate), slices.Max(m.rate)), "", "", noGoal,
	}, row{
		"  commits and CPU µs per request", fmt.Sprintf("%.2f, %.0f", median(m.commits), median(m.cpu)), "", "", noGoal,
	})
	b.chart(chart{title: title, bars: []bar{{"disk, fsyncs/s", sync}, {"gate", rate}}})
}

// countSteps registers, signs in and refreshes once, and tells what a counter
// counted during each request.
func (g *gateway) countSteps(counter func() (uint64, error)) (counts []uint64, err error) {
	p, err := newPerson(g, 0)
	if err != nil {
		return nil, err
	}
	defer p.close()
	before, err := counter()
	if err != nil {
		return nil, err
	}
	p.afterStep = func() {
		after, _ := counter() // an error shows as an absurd count
		counts = append(counts, after-before)
		before = after
	}
	client, err := p.register()
	if err != nil {
		return nil, err
	}
	t, err := p.signIn(client)
	if err != nil {
		return nil, err
	}
	_, err = p.refresh(client, t.Refresh)
	return counts, err
}

// Jobs of a person. Each prepares, and returns what is to be repeated.

func registering(p *person) (func() error, error) {
	return func() error {
		_, err := p.register()
		return err
	}, nil
}

func signingIn(p *person) (func() error, error) {
	client, err := p.register()
	return func() error {
		_, err := p.signIn(client)
		return err
	}, err
}

func refreshing(p *person) (func() error, error) {
	client, err := p.register()
	if err != nil {
		return nil, err
	}
	// The refreshes of a grant are limited, so they take turns.
	all := make([]tokens, p.grants)
	for i := range all {
		if all[i], err = p.signIn(client); err != nil {
			return nil, err
		}
	}
	n := 0
	return func() error {
		n++
		t := &all[n%len(all)]
		*t, err = p.refresh(client, t.Refresh)
		return err
	}, nil
}

// repetition is how repeating a job went.
type repetition struct {
	rate           float64
	p99            time.Duration
	cpu            time.Duration // of the gateway, for each request
	commitsPerStep float64
}

// repeat lets workers do a job over and over.
func (g *gateway) repeat(workers int, d time.Duration, job func(*person) (func() error, error)) (repetition, error) {
	people := make([]*person, workers)
	jobs := make([]func() error, workers)
	for i := range people {
		p, err := newPerson(g, i)
		if err != nil {
			return repetition{}, err
		}
		defer p.close()
		p.grants = max(8, 512/workers)
		if jobs[i], err = job(p); err != nil {
			return repetition{}, err
		}
		people[i], p.steps = p, 0
	}
	commits, err := g.commits()
	if err != nil {
		return repetition{}, err
	}
	cpu, err := processCPU(g.pid())
	if err != nil {
		return repetition{}, err
	}
	latency, elapsed, err := runJobs(jobs, d)
	if err != nil {
		return repetition{}, err
	}
	cpuAfter, err := processCPU(g.pid())
	if err != nil {
		return repetition{}, err
	}
	commitsAfter, err := g.commits()
	if err != nil {
		return repetition{}, err
	}
	steps := 0
	for _, p := range people {
		steps += p.steps
	}
	return repetition{
		rate:           float64(len(latency)) / elapsed.Seconds(),
		p99:            quantile(latency, 0.99),
		cpu:            (cpuAfter - cpu) / time.Duration(steps),
		commitsPerStep: float64(commitsAfter-commits) / float64(steps),
	}, nil
}

// runJobs repeats the jobs, each by itself, until d has passed. It returns how
// long each repetition took, sorted, and how long all of it took.
func runJobs(jobs []func() error, d time.Duration) ([]time.Duration, time.Duration, error) {
	latencies := make([][]time.Duration, len(jobs))
	errs := make([]error, len(jobs))
	var wg sync.WaitGroup
	start := time.Now()
	for i, job := range jobs {
		wg.Go(func() {
			for time.Since(start) < d {
				began := time.Now()
				if errs[i] = job(); errs[i] != nil {
					return
				}
				latencies[i] = append(latencies[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	return sortedDurations(latencies), elapsed, firstError(errs)
}
