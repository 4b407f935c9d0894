package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// measureAuthorizationServer measures the endpoints that store something. All
// of their answers are on disk before they are sent.
func measureAuthorizationServer(ctx context.Context, b *bench) error {
	b.progress("authorization server: the disk alone")
	sync, err := diskSyncRate(b.dir, b.flowSample/2)
	if err != nil {
		return err
	}
	b.add(row{"disk: 4 KiB fsyncs/s, one after the other", fmt.Sprintf("%.0f", sync), "", "", noGoal})
	return b.withGateway(ctx, 0, func(g *gateway, _ []string) error {
		steps, most, err := g.commitsOfEachStep()
		if err != nil {
			return err
		}
		b.add(row{"commits: register, authorize, page, identity, page, submit, token, refresh", steps, "", "≤ 1 each", verdictOf(most <= 1)})
		for _, m := range []struct {
			what    string
			workers int
			goal    float64
			job     func(*person) (func() error, error)
		}{
			{"registrations/s", 1, 1_500, registering},
			{"registrations/s", 64, 5_000, registering},
			{"sign-ins/s (six requests each)", 1, 0, signingIn},
			{"sign-ins/s (six requests each)", 16, 800, signingIn},
			{"refreshes/s", 1, 1_200, refreshing},
			{"refreshes/s", 16, 3_000, refreshing},
		} {
			b.progress("authorization server: %s, %d at a time", m.what, m.workers)
			r, err := g.repeat(m.workers, b.flowSample, m.job)
			if err != nil {
				return fmt.Errorf("%s: %w", m.what, err)
			}
			result := row{
				fmt.Sprintf("%s, %d at a time", m.what, m.workers),
				fmt.Sprintf("%.0f (%.2f × disk), p99 %.1f ms", r.rate, r.rate/sync, milliseconds(r.p99)), "", "", noGoal,
			}
			if m.goal > 0 {
				result.target, result.met = fmt.Sprintf("≥ %.0f", m.goal), verdictOf(r.rate >= m.goal)
			}
			b.add(result, row{
				"  commits and CPU µs per request", fmt.Sprintf("%.2f, %.0f", r.commitsPerStep, microseconds(r.cpu)), "", "", noGoal,
			})
			b.chart(chart{title: fmt.Sprintf("%s, %d at a time", m.what, m.workers), bars: []bar{
				{"disk, fsyncs/s", sync}, {"gate", r.rate},
			}})
		}
		return nil
	})
}

// commitsOfEachStep registers, signs in and refreshes once, and tells how many
// transactions each request committed, and the most that one did.
func (g *gateway) commitsOfEachStep() (text string, most uint64, err error) {
	p, err := newPerson(g.gate)
	if err != nil {
		return "", 0, err
	}
	defer p.close()
	before, err := g.commits()
	if err != nil {
		return "", 0, err
	}
	var counts []uint64
	p.afterStep = func() {
		after, _ := g.commits() // an error shows as an absurd count
		counts = append(counts, after-before)
		most, before = max(most, after-before), after
	}
	client, err := p.register()
	if err != nil {
		return "", 0, err
	}
	t, err := p.signIn(client)
	if err != nil {
		return "", 0, err
	}
	_, err = p.refresh(client, t.Refresh)
	return fmt.Sprint(counts), most, err
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
	t, err := p.signIn(client)
	return func() error {
		t, err = p.refresh(client, t.Refresh)
		return err
	}, err
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
		p, err := newPerson(g.gate)
		if err != nil {
			return repetition{}, err
		}
		defer p.close()
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
