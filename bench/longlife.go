package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/bench/fill"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/pgstore"
)

// old is a store that many people have used for long.
type old struct {
	name    string
	records records
	fill    func(fill.Size) error
	open    func() (storage.Store, error)
	vacuum  func() error // what the database does by itself, now and then
}

// measureLongLife measures a gateway with a few records, with those of many years, and
// after what has ended of them was swept: when it serves, what it takes, what calls,
// sign-ins and refreshes cost, and whom the sweep holds up.
func measureLongLife(ctx context.Context, b *bench) error {
	if b.stores != "postgres" {
		home := filepath.Join(b.dir, "old")
		path := filepath.Join(home, "mcp_oauth.db")
		err := b.longLife(ctx, old{
			name: "bbolt", records: inFile(home),
			fill:   func(s fill.Size) error { return fill.Bolt(path, s) },
			open:   func() (storage.Store, error) { return boltstore.Open(path, boltstore.Options{}) },
			vacuum: func() error { return nil },
		})
		if err != nil {
			return err
		}
	}
	if b.stores == "bbolt" {
		return nil
	}
	p, err := startPostgres(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	schema := p.server.Schema()
	return b.longLife(ctx, old{
		name: "PostgreSQL", records: p.inSchema(schema, p.server.Dir()),
		fill: func(s fill.Size) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			return fill.Postgres(ctx, p.conn, schema, s)
		},
		open: func() (storage.Store, error) {
			c, err := pgstore.Parse(pgstore.Options{DSN: p.server.DSN(), Schema: schema})
			if err != nil {
				return nil, err
			}
			return pgstore.Open(ctx, c)
		},
		vacuum: func() error { return p.do(ctx, "vacuum analyze") },
	})
}

func (b *bench) longLife(ctx context.Context, o old) error {
	size := b.long
	size.Now = time.Now()
	with := b.in(&o.records)
	b.progress("%s: sign-ins to repeat", o.name)
	return with.withGateway(ctx, 0, func(g *gateway, _ []string) error {
		l := &longLived{bench: with, gateway: g}
		if err := l.prepare(); err != nil {
			return err
		}
		b.progress("%s: with these", o.name)
		few, err := l.measure(ctx)
		if err != nil {
			return err
		}
		g.end()
		b.progress("%s: filling in %d grants, %d clients, %d expired records", o.name, size.Grants, size.Clients, size.Expired)
		began := time.Now()
		if err := o.fill(size); err != nil {
			return err
		}
		b.progress("%s: filled within %v", o.name, time.Since(began).Round(time.Second))
		filled, err := l.measure(ctx)
		if err != nil {
			return err
		}
		g.end()
		b.progress("%s: sweeping", o.name)
		sweep, err := sweepBesideWrites(ctx, o)
		if err != nil {
			return err
		}
		swept, err := l.measure(ctx)
		if err != nil {
			return err
		}
		b.reportLongLife(o.name, few, filled, swept, sweep)
		return nil
	})
}

// longLived is a gateway that starts again and again on the same records.
type longLived struct {
	*bench
	gateway *gateway
	client  string
	access  []string // whose calls are measured
	refresh []string // that are exchanged
	round   int
}

const samples = 100

// prepare signs in for all that is to be measured later.
func (l *longLived) prepare() error {
	p, err := newPerson(l.gateway, 0)
	if err != nil {
		return err
	}
	defer p.close()
	if l.client, err = p.register(); err != nil {
		return err
	}
	for range samples {
		t, err := p.signIn(l.client)
		if err != nil {
			return err
		}
		l.access, l.refresh = append(l.access, t.Access), append(l.refresh, t.Refresh)
	}
	return nil
}

// aged is what a gateway costs at one age.
type aged struct {
	answered, start               time.Duration // anything, and a call
	resident, live, bytes         int64
	uncached, warm, signIn, renew []time.Duration
}

// measure starts the gateway and measures what it costs, within less than the minute
// after which it sweeps.
func (l *longLived) measure(ctx context.Context) (a aged, err error) {
	l.round++
	l.gateway.end()
	began := time.Now()
	if err := l.gateway.launch(ctx); err != nil {
		return a, err
	}
	p, err := l.firstCall(&a, began)
	if err != nil {
		return a, err
	}
	defer p.close()
	a.start = time.Since(began)
	for _, times := range []*[]time.Duration{&a.uncached, &a.warm} {
		for _, token := range l.access[1:] {
			if err := timed(times, func() error { return p.call(token, 200) }); err != nil {
				return a, err
			}
		}
	}
	for i := range l.refresh {
		err := timed(&a.renew, func() error {
			t, err := p.refresh(l.client, l.refresh[i])
			l.refresh[i] = t.Refresh
			return err
		})
		if err != nil {
			return a, err
		}
	}
	for range samples / 2 {
		err := timed(&a.signIn, func() error {
			_, err := p.signIn(l.client)
			return err
		})
		if err != nil {
			return a, err
		}
	}
	f, err := snapshot(l.gateway)
	if err != nil {
		return a, err
	}
	a.resident, a.live = f.resident, f.live
	a.bytes, err = l.gateway.bytes()
	return a, err
}

// firstCall calls until a call passes: as long as the store is being opened, callers
// wait, and are told to try again. It returns who called.
func (l *longLived) firstCall(a *aged, began time.Time) (*person, error) {
	for {
		p, err := newPerson(l.gateway, l.round)
		if err != nil {
			return nil, err
		}
		err = p.call(l.access[0], 200)
		if a.answered == 0 && (err == nil || !hangsUp(err)) {
			a.answered = time.Since(began)
		}
		if err == nil {
			return p, nil
		}
		p.close() // an answer that comes late is nobody else's
		if time.Since(began) > 10*time.Minute {
			return nil, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func timed(to *[]time.Duration, do func() error) error {
	began := time.Now()
	err := do()
	*to = append(*to, time.Since(began))
	return err
}

func (b *bench) reportLongLife(name string, few, filled, swept aged, s sweeping) {
	const mb = 1 << 20
	all := []aged{few, filled, swept}
	each := func(show func(aged) string) string {
		var texts []string
		for _, a := range all {
			texts = append(texts, show(a))
		}
		return strings.Join(texts, " → ")
	}
	latency := func(what string, of func(aged) []time.Duration, slack float64) row {
		medians := make([]float64, len(all))
		for i, a := range all {
			slices.Sort(of(a))
			medians[i] = milliseconds(quantile(of(a), 0.5))
		}
		return row{
			"  " + what + ", p50/p99 ms", each(func(a aged) string {
				return fmt.Sprintf("%.2f/%.1f", milliseconds(quantile(of(a), 0.5)), milliseconds(quantile(of(a), 0.99)))
			}), "",
			fmt.Sprintf("p50 ≤ 1.5 × few + %.1f", slack), verdictOf(max(medians[1], medians[2]) <= 1.5*medians[0]+slack),
		}
	}
	slices.Sort(s.alone)
	slices.Sort(s.beside)
	b.add(
		row{
			fmt.Sprintf("%s: few → %d grants, %d clients, %d expired → swept: s until an answer/a call passes", name, b.long.Grants, b.long.Clients, b.long.Expired),
			each(func(a aged) string { return fmt.Sprintf("%.2f/%.2f", a.answered.Seconds(), a.start.Seconds()) }), "", "", noGoal,
		},
		row{"  live memory, MB", each(func(a aged) string { return fmt.Sprint(a.live / mb) }), "", "≤ few + 256", verdictOf(max(filled.live, swept.live) <= few.live+256*mb)},
		row{"  resident, MB", each(func(a aged) string { return fmt.Sprint(a.resident / mb) }), "", "", noGoal},
		row{"  on disk, MB", each(func(a aged) string { return fmt.Sprint(a.bytes / mb) }), "", "", noGoal},
		latency("first call with a token", func(a aged) []time.Duration { return a.uncached }, 2),
		latency("call with one that is cached", func(a aged) []time.Duration { return a.warm }, 0.5),
		latency("refresh", func(a aged) []time.Duration { return a.renew }, 5),
		latency("sign-in", func(a aged) []time.Duration { return a.signIn }, 10),
		row{
			"  sweep", fmt.Sprintf("%d within %.0f s, %.0f/s", s.removed, s.took.Seconds(), float64(s.removed)/s.took.Seconds()), "",
			fmt.Sprint("≥ ", b.long.Expired), verdictOf(s.removed >= b.long.Expired/10*10),
		},
		row{
			"  a write meanwhile, p50/p99/p99.9/worst ms (alone)", fmt.Sprintf("%s (%s)", fourOf(s.beside), fourOf(s.alone)), "",
			"worst ≤ alone + 50", verdictOf(last(s.beside) <= last(s.alone)+50*time.Millisecond),
		},
	)
}

func fourOf(sorted []time.Duration) string {
	return fmt.Sprintf("%.1f/%.1f/%.1f/%.1f", milliseconds(quantile(sorted, 0.5)), milliseconds(quantile(sorted, 0.99)),
		milliseconds(quantile(sorted, 0.999)), milliseconds(last(sorted)))
}

func last(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)-1]
}
