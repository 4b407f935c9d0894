package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// stepNames are the requests of a registration, a sign-in and a refresh.
const stepNames = "register, authorize, page, identity, page, submit, token, refresh"

// measureStores compares gateways with their records in PostgreSQL with those that
// have a bbolt file: a call that needs none of them, and the endpoints that write.
// Everybody has a virtual key, so that no bound for strangers is part of it.
func measureStores(ctx context.Context, b *bench) error {
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	b.progress("PostgreSQL beside bbolt")
	if err := b.measureSteps(ctx, p); err != nil {
		return err
	}
	if err := b.measureWarmCalls(ctx, p); err != nil {
		return err
	}
	return b.measureWrites(ctx, p)
}

// in returns a benchmark whose gateways keep their records there, and whose people
// have keys.
func (b *bench) in(r *records) *bench {
	other := *b
	other.keep, other.people = r, knownTokens
	return &other
}

// newSchema are records in a schema of their own.
func (p *postgres) newSchema() *records {
	r := p.inSchema(p.server.Schema(), p.server.Dir())
	return &r
}

// measureSteps counts how often each request waits for the database, and what it
// commits. Others ask it now and then, so the least of several times counts.
func (b *bench) measureSteps(ctx context.Context, p *postgres) error {
	between, err := p.server.Relay(b.dir)
	if err != nil {
		return err
	}
	defer between.Close()
	r := p.inSchema(p.server.Schema(), b.dir)
	return b.in(&r).withGateway(ctx, 0, func(g *gateway, _ []string) error {
		var trips, commits []uint64
		for range 7 {
			t, err := g.countSteps(func() (uint64, error) { return between.Trips(), nil })
			if err != nil {
				return err
			}
			c, err := g.countSteps(g.commits)
			if err != nil {
				return err
			}
			trips, commits = least(trips, t), least(commits, c)
		}
		b.add(
			row{"PostgreSQL: round trips: " + stepNames, fmt.Sprint(trips), "", "≤ 3 each", verdictOf(slices.Max(trips) <= 3)},
			row{"PostgreSQL: commits of the same", fmt.Sprint(commits), "", "≤ 1 each", verdictOf(slices.Max(commits) <= 1)},
		)
		return nil
	})
}

func least(a, b []uint64) []uint64 {
	if a == nil {
		return b
	}
	for i := range a {
		a[i] = min(a[i], b[i])
	}
	return a
}

// measureWarmCalls compares calls whose tokens are cached: they ask no store.
func (b *bench) measureWarmCalls(ctx context.Context, p *postgres) error {
	b.progress("warm calls, PostgreSQL beside bbolt")
	file := b.in(nil)
	var allocated [2]allocations
	for i, with := range []*bench{file, b.in(p.newSchema())} {
		err := with.withGateway(ctx, 0, func(g *gateway, tokens []string) (err error) {
			allocated[i], err = allocationsPer(g, g.gateLoad(16, tokens), b.allocRequests)
			return err
		})
		if err != nil {
			return err
		}
	}
	bolt, pg := allocated[0], allocated[1]
	b.add(row{
		"allocations per call, PostgreSQL / bbolt", pg.String(),
		bolt.String(), "≤ bbolt + 0.2", verdictOf(pg.count <= bolt.count+0.2),
	})
	var all cpuPairs
	err := file.pinnedWith(ctx, b.in(p.newSchema()), func(g, other *gateway, tokens, otherTokens []string) error {
		for range b.pairs {
			pg, bolt := other.gateLoad(16, otherTokens), g.gateLoad(16, tokens)
			if err := b.measureLoads(&all, pg, other.plainLoad(16, otherTokens), bolt, g.plainLoad(16, tokens)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.addCPU("CPU per call", "PostgreSQL", "bbolt", all, noDearer)
}

// measureWrites lets the same people do the same on both, by turns.
func (b *bench) measureWrites(ctx context.Context, p *postgres) error {
	return b.in(nil).withGateway(ctx, 0, func(bolt *gateway, _ []string) error {
		return b.in(p.newSchema()).withGateway(ctx, 0, func(pg *gateway, _ []string) error {
			var both [][2]*measurement
			for _, job := range []struct {
				what string
				job  func(*person) (func() error, error)
			}{{"registrations/s", registering}, {"sign-ins/s (six requests each)", signingIn}, {"refreshes/s", refreshing}} {
				for _, workers := range []int{1, 16, 64} {
					m := func() *measurement { return &measurement{what: job.what, workers: workers, job: job.job} }
					both = append(both, [2]*measurement{m(), m()})
				}
			}
			for round := range b.rounds {
				b.progress("registrations, sign-ins, refreshes on both, round %d of %d", round+1, b.rounds)
				for _, pair := range both {
					for i, g := range []*gateway{bolt, pg} {
						r, err := g.repeat(pair[i].workers, b.window, pair[i].job)
						if err != nil {
							return fmt.Errorf("%s: %w", pair[i].what, err)
						}
						pair[i].add(r)
					}
				}
			}
			for _, pair := range both {
				b.reportBeside(pair[0], pair[1])
			}
			return nil
		})
	})
}

func (b *bench) reportBeside(bolt, pg *measurement) {
	show := func(m *measurement) string {
		return fmt.Sprintf("%.0f, p99 %.1f ms, CPU %.0f µs, %.2f commits per request",
			median(m.rate), median(m.p99), median(m.cpu), median(m.commits))
	}
	what, _, _ := strings.Cut(bolt.what, " (")
	title := fmt.Sprintf("%s, %d at a time, PostgreSQL / bbolt", what, bolt.workers)
	b.add(row{title, show(pg), show(bolt), "", noGoal})
	b.chart(chart{title: title, bars: []bar{{"bbolt", median(bolt.rate)}, {"PostgreSQL", median(pg.rate)}}})
}
