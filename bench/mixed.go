package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// mixedPlan is how much of everything goes on at the same time.
type mixedPlan struct {
	streams int           // open from the beginning to the end
	warm    time.Duration // before what is compared with the end
	time    time.Duration
	reloads int // meanwhile; one more while warming
}

// with returns the plan with what another one sets.
func (p mixedPlan) with(other mixedPlan) mixedPlan {
	if other.streams > 0 {
		p.streams = other.streams
	}
	if other.time > 0 {
		p.warm, p.time = max(other.time/10, 15*time.Second), other.time
	}
	if other.reloads > 0 {
		p.reloads = other.reloads
	}
	return p
}

// measureMixed does everything at once for a long time, with the records in a file and
// in PostgreSQL: people sign in, refresh, call, connect accounts, disconnect and
// revoke, streams open and close, and the configuration is loaded again and again.
// Nothing fails, no stream that is open is cut, and at the end the process has as
// much memory, as many files and goroutines as near the beginning.
func measureMixed(ctx context.Context, b *bench) error {
	b.strict = true
	if b.stores != "postgres" {
		if err := b.mix(ctx, "bbolt", b.in(nil)); err != nil {
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
	return b.mix(ctx, "PostgreSQL", b.in(p.newSchema()))
}

func (b *bench) mix(ctx context.Context, name string, with *bench) error {
	return with.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
		m := &mixture{bench: with, gateway: g, tokens: tokens}
		b.progress("%s: %d streams, then %v of everything, %d reloads", name, b.mixed.streams, b.mixed.warm+b.mixed.time, b.mixed.reloads+1)
		conns, err := openStreams(g.gate, tokens, b.mixed.streams)
		defer m.closeStreams(conns)
		if err != nil {
			return err
		}
		m.watch(conns)
		m.run(ctx, b.mixed.warm, 1)
		before, err := m.snapshot()
		if err != nil {
			return err
		}
		m.run(ctx, b.mixed.time, b.mixed.reloads)
		after, err := m.snapshot()
		if err != nil {
			return err
		}
		m.report(b, name, before, after)
		return ctx.Err()
	})
}

// mixture is a gateway and what is going on with it.
type mixture struct {
	*bench
	gateway *gateway
	tokens  []string // of the streams and calls
	reloads int      // so far

	done, hungUp atomic.Int64
	cut          atomic.Int64 // streams
	closing      atomic.Bool
	mu           sync.Mutex
	failures     []error
	watching     sync.WaitGroup
}

// watch notices each stream that ends before its time.
func (m *mixture) watch(streams []*conn) {
	for _, c := range streams {
		m.watching.Go(func() {
			var b [64]byte
			for {
				if _, err := c.nc.Read(b[:]); err != nil {
					if !m.closing.Load() {
						m.cut.Add(1)
						m.failed("a stream", err)
					}
					return
				}
			}
		})
	}
}

func (m *mixture) closeStreams(streams []*conn) {
	m.closing.Store(true)
	for _, c := range streams {
		c.close()
	}
	m.watching.Wait()
}

func (m *mixture) failed(what string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.failures) < 1000 {
		m.failures = append(m.failures, fmt.Errorf("%s: %w", what, err))
	}
}

// state is what a process has, and what the machine lost.
type state struct {
	footprint
	files   int
	dropped uint64
}

// snapshot waits until nothing is under way any more.
func (m *mixture) snapshot() (state, error) {
	time.Sleep(time.Second)
	f, err := snapshot(m.gateway)
	if err != nil {
		return state{}, err
	}
	n, err := openFiles(m.gateway.pid())
	if err != nil {
		return state{}, err
	}
	lost, err := droppedPackets()
	return state{f, n, lost}, err
}

// droppedPackets returns how many packets the kernel dropped because too many waited,
// on loopback too: after nine probes without an answer it resets a connection, which is
// no fault of anybody here. Then net.core.netdev_max_backlog is too low for so many
// streams on one machine.
func droppedPackets() (all uint64, err error) {
	text, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var processed, dropped uint64
		if _, err := fmt.Sscanf(line, "%x %x", &processed, &dropped); err != nil {
			return 0, err
		}
		all += dropped
	}
	return all, nil
}

func openFiles(pid int) (int, error) {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(files), err
}

// What may remain of so much: connections to servers are kept for two minutes, and
// what is remembered of clients (16 MB) fills up for minutes.
const (
	moreFiles      = 64
	moreGoroutines = 128
	moreMemory     = 20 << 20
)

func (m *mixture) report(b *bench, name string, before, after state) {
	const mb = 1 << 20
	b.add(
		row{
			fmt.Sprintf("%s: %d streams, everything for %v, %d reloads: errors", name, b.mixed.streams, b.mixed.time, b.mixed.reloads),
			fmt.Sprintf("%d of %d", len(m.failures), m.done.Load()), "", "0", verdictOf(len(m.failures) == 0 && m.done.Load() > 0),
		},
		row{"  streams cut", fmt.Sprint(m.cut.Load()), "", "0", verdictOf(m.cut.Load() == 0)},
		row{"  packets that the kernel dropped meanwhile (net.core.netdev_max_backlog)", fmt.Sprint(after.dropped - before.dropped), "", "", noGoal},
		row{"  connections hung up on unread, and used again", fmt.Sprint(m.hungUp.Load()), "", "", noGoal},
		row{
			"  live memory at the end / near the beginning, MB", fmt.Sprintf("%.1f / %.1f", float64(after.live)/mb, float64(before.live)/mb), "",
			"≤ + 20 + 2 %", verdictOf(after.live <= before.live+before.live/50+moreMemory),
		},
		row{"  resident, MB", fmt.Sprintf("%d / %d", after.resident/mb, before.resident/mb), "", "", noGoal},
		row{
			"  open files", fmt.Sprintf("%d / %d", after.files, before.files), "",
			fmt.Sprint("≤ + ", moreFiles), verdictOf(after.files <= before.files+moreFiles),
		},
		row{
			"  goroutines", fmt.Sprintf("%d / %d", after.goroutines, before.goroutines), "",
			fmt.Sprint("≤ + ", moreGoroutines), verdictOf(after.goroutines <= before.goroutines+moreGoroutines),
		},
	)
	for _, err := range m.failures[:min(len(m.failures), 10)] {
		b.progress("%s: %v", name, err)
	}
}

// hangsUp reports whether the other side closed the connection without an answer, as a
// server does with one that it has read nothing from when it stops.
func hangsUp(err error) bool {
	var network *net.OpError
	return err != nil && (errors.Is(err, errNoAnswer) || errors.As(err, &network) && !network.Timeout())
}
