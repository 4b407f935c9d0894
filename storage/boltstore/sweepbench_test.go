package boltstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/internal/kv"
)

// BenchmarkSweep removes many records that ended while a client redeems one
// code after the other. How long a claim waits, 99 times in 100 and at worst,
// is what the sweep costs others, to be read against the same claims alone.
func BenchmarkSweep(b *testing.B) {
	const (
		recordsPerSignIn = 7 // flow, code, grant, its two index entries, access token, refresh token
		alone            = 2_000
	)
	for _, expired := range []uint64{100_000, 1_000_000} {
		b.Run(fmt.Sprint("expired=", expired), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				e := benchEngine(b)
				signIns := expired/recordsPerSignIn + 1
				fill(b, e, signIns)
				now := benchNow.AddDate(1, 0, 0)
				c := &claimer{b: b, store: kv.New(e), next: signIns, end: signIns + alone + expired/10, now: now}
				approveAll(b, e, c.next, c.end, now)
				c.report("alone", c.until(func() bool { return c.next == signIns+alone }))

				swept := make(chan struct{})
				waits := make(chan []time.Duration)
				go func() {
					waits <- c.until(func() bool {
						select {
						case <-swept:
							return true
						default:
							return false
						}
					})
				}()
				b.StartTimer()
				start := time.Now()
				n, err := c.store.Sweep(context.Background(), now)
				b.ReportMetric(float64(n)/time.Since(start).Seconds(), "removed/s")
				close(swept)
				if err != nil || n < int(expired) {
					b.Fatalf("removed %d of %d, %v", n, expired, err)
				}
				c.report("claim", <-waits)
			}
		})
	}
}

// claimer redeems the codes next to end.
type claimer struct {
	b         *testing.B
	store     storage.Store
	next, end uint64
	now       time.Time
}

// until redeems codes until over, and returns how long each took.
func (c *claimer) until(over func() bool) (waits []time.Duration) {
	for ; !over(); c.next++ {
		if c.next == c.end {
			c.b.Error("there are not enough codes")
			return waits
		}
		claim := benchClaim(c.next, c.now)
		start := time.Now()
		res, err := c.store.ClaimCode(context.Background(), claim)
		waits = append(waits, time.Since(start))
		if err != nil || res.Verdict != storage.OK {
			c.b.Errorf("verdict %v, %v", res.Verdict, err)
			return waits
		}
	}
	return waits
}

func (c *claimer) report(what string, waits []time.Duration) {
	if len(waits) == 0 {
		c.b.Errorf("%s: no claims", what)
		return
	}
	slices.Sort(waits)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	c.b.ReportMetric(ms(waits[len(waits)*99/100]), what+"-p99-ms")
	c.b.ReportMetric(ms(waits[len(waits)-1]), what+"-worst-ms")
}
