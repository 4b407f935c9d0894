package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// openers is how many streams are opened at the same time.
const openers = 16

// measureStreams measures event streams: how soon the first event arrives, and
// what an idle stream keeps in memory.
func measureStreams(ctx context.Context, b *bench) error {
	if err := measureFirstEvent(ctx, b); err != nil {
		return err
	}
	b.progress("%d idle streams", b.streams)
	plain, err := b.holdStreams(ctx, func(g *gateway) string { return g.plain })
	if err != nil {
		return err
	}
	gate, err := b.holdStreams(ctx, func(g *gateway) string { return g.gate })
	if err != nil {
		return err
	}
	b.add(
		row{
			fmt.Sprintf("%d streams: live bytes each", b.streams), fmt.Sprintf("%.0f", gate.live), fmt.Sprintf("%.0f", plain.live),
			"≤ plain + 1,024", verdictOf(gate.live <= plain.live+1024),
		},
		row{"  resident kB each", fmt.Sprintf("%.1f", gate.resident/1024), fmt.Sprintf("%.1f", plain.resident/1024), "", noGoal},
		row{
			"  goroutines each", fmt.Sprintf("%.3f", gate.goroutines), fmt.Sprintf("%.3f", plain.goroutines),
			"= plain", verdictOf(gate.goroutines < plain.goroutines+0.01),
		},
		row{"  opened/s", fmt.Sprintf("%.0f", gate.openRate), fmt.Sprintf("%.0f", plain.openRate), "", noGoal},
	)
	b.chart(chart{title: "Live bytes per idle stream", bars: []bar{{"plain Caddy", plain.live}, {"gate", gate.live}}})
	return nil
}

// listen is the request for a stream.
func listen(host, token string) []byte {
	return fmt.Appendf(nil, "GET /mcp HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n"+
		"Accept: text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer %s\r\n\r\n", host, token)
}

// measureFirstEvent opens one stream after the other, plain and gated by turns.
func measureFirstEvent(ctx context.Context, b *bench) error {
	b.progress("first event of a stream")
	return b.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
		var plain, gate []time.Duration
		for i := range b.firstEvents {
			for _, side := range []struct {
				addr string
				all  *[]time.Duration
			}{{g.plain, &plain}, {g.gate, &gate}} {
				d, err := openOne(side.addr, tokens[i%len(tokens)])
				if err != nil {
					return err
				}
				*side.all = append(*side.all, d)
			}
		}
		slices.Sort(plain)
		slices.Sort(gate)
		show := func(d []time.Duration) string {
			return fmt.Sprintf("%.3f/%.3f", milliseconds(quantile(d, 0.5)), milliseconds(quantile(d, 0.99)))
		}
		delay := milliseconds(quantile(gate, 0.5) - quantile(plain, 0.5))
		b.add(row{
			"first event of a stream, p50/p99 ms", show(gate), show(plain),
			"p50 ≤ plain + 0.05", verdictOf(delay <= 0.05),
		})
		return nil
	})
}

func openOne(addr, token string) (time.Duration, error) {
	start := time.Now()
	c, err := openStream(addr, token)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return time.Since(start), nil
}

func openStream(addr, token string) (*conn, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	status, err := c.open(listen(addr, token))
	if err == nil && status != 200 {
		err = fmt.Errorf("%s answered %d to a stream", addr, status)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.br = nil // an idle client needs no buffer
	return c, nil
}

// held is what each of many idle streams costs the gateway.
type held struct {
	live       float64 // bytes of heap and stacks that survive a collection
	resident   float64
	goroutines float64
	openRate   float64
}

// holdStreams opens all streams on a fresh gateway, whose garbage and buffers
// are then its own, and keeps them until it has looked.
func (b *bench) holdStreams(ctx context.Context, site func(*gateway) string) (held, error) {
	var h held
	err := b.withGateway(ctx, 0, func(g *gateway, tokens []string) error {
		before, err := snapshot(g)
		if err != nil {
			return err
		}
		start := time.Now()
		conns, err := openStreams(site(g), tokens, b.streams)
		for _, c := range conns {
			defer c.close()
		}
		if err != nil {
			return err
		}
		h.openRate = float64(b.streams) / time.Since(start).Seconds()
		after, err := snapshot(g)
		if err != nil {
			return err
		}
		n := float64(b.streams)
		h.live = float64(after.live-before.live) / n
		h.resident = float64(after.resident-before.resident) / n
		h.goroutines = float64(after.goroutines-before.goroutines) / n
		return nil
	})
	return h, err
}

type footprint struct {
	live, resident int64
	goroutines     int
}

// snapshot reads the resident memory before anything is collected, and the
// live memory after.
func snapshot(g *gateway) (footprint, error) {
	resident, err := processRSS(g.pid())
	if err != nil {
		return footprint{}, err
	}
	m, err := g.memory(true)
	if err != nil {
		return footprint{}, err
	}
	n, err := g.goroutines()
	return footprint{int64(m.HeapAlloc + m.StackInuse), resident, n}, err
}

// openStreams opens n streams. It returns those it opened, also when it fails.
func openStreams(addr string, tokens []string, n int) ([]*conn, error) {
	var (
		mu    sync.Mutex
		conns []*conn
		wg    sync.WaitGroup
	)
	errs := make([]error, openers)
	for w := range openers {
		wg.Go(func() {
			for i := w; i < n; i += openers {
				c, err := openStream(addr, tokens[i%len(tokens)])
				if err != nil {
					errs[w] = err
					return
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return conns, firstError(errs)
}
