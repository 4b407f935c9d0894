package caddymodule

import (
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
)

var grants = flag.Int("grants", 1000, "grants in the database of BenchmarkHandler")

// BenchmarkHandler is what the handler adds to a proxied call: path, host, gate,
// session, headers, placeholders. hot is a call of one of at most 4,000 callers
// whose tokens are cached, cold one whose token must be read from the database.
func BenchmarkHandler(b *testing.B) {
	store, err := boltstore.Open(filepath.Join(b.TempDir(), "db"), boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	h, cache := newStubbedHandler(b, store, nil)
	tokens := storeTokens(b, store, *grants)
	var all storage.Revocation
	for _, token := range tokens {
		all.AccessTokens = append(all.AccessTokens, storage.HashOf(token))
	}
	for range 5 { // a machine has bad moments
		b.Run("hot", func(b *testing.B) {
			benchCalls(b, h, tokens[:min(len(tokens), 4000)], func(int) {})
		})
		b.Run("cold", func(b *testing.B) {
			benchCalls(b, h, tokens, func(first int) {
				next := min(first+callsPrepared, len(tokens))
				cache.Forget(storage.Revocation{AccessTokens: all.AccessTokens[first:next]})
			})
		})
	}
}

// callsPrepared is how many requests are made ready at a time, off the clock:
// few, because a request that is served has just been read and is still in the
// processor's cache.
const callsPrepared = 16

// benchCalls sends calls whose tokens take turns. prepare is called with the
// index of the first token of those that come next. Time and allocations are
// counted here and not by b, whose StopTimer stops the whole program each time;
// garbage is collected off the clock.
func benchCalls(b *testing.B, h *Handler, tokens []string, prepare func(first int)) {
	w := nowhere{http.Header{}}
	first := 0
	prepared := func(n int) []*http.Request {
		requests := make([]*http.Request, n)
		for i := range requests {
			requests[i] = newCall(tokens[(first+i)%len(tokens)])
		}
		prepare(first)
		first = (first + n) % len(tokens)
		return requests
	}
	serve := func(requests []*http.Request) {
		for _, r := range requests {
			if err := h.ServeHTTP(w, r, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	for range 5000 / callsPrepared { // what is to be cached gets cached
		serve(prepared(callsPrepared))
	}
	// Preparing a request makes many times the garbage that serving it does, and
	// collecting it empties the processor's cache.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	first = 0
	var spent time.Duration
	for left := b.N; left > 0; left -= callsPrepared {
		if left/callsPrepared%4000 == 0 {
			runtime.GC()
		}
		requests := prepared(min(left, callsPrepared))
		begin := time.Now()
		serve(requests)
		spent += time.Since(begin)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/op")
	bytes, allocs := allocated(prepared(callsPrepared), serve)
	b.ReportAllocs()
	b.ReportMetric(bytes, "B/op")
	b.ReportMetric(allocs, "allocs/op")
	if len(w.h) > 0 { // only a refusal sets headers
		b.Fatalf("refused: %v", w.h)
	}
}

// allocated is how many bytes and objects serving one of the requests allocates.
func allocated(requests []*http.Request, serve func([]*http.Request)) (bytes, objects float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	serve(requests)
	runtime.ReadMemStats(&after)
	n := float64(len(requests))
	return float64(after.TotalAlloc-before.TotalAlloc) / n, float64(after.Mallocs-before.Mallocs) / n
}

// storeTokens stores n grants, many at a time, so that they share the cost of
// making them durable.
func storeTokens(b *testing.B, store storage.Store, n int) []string {
	b.Helper()
	tokens := make([]string, n)
	var workers errgroup.Group
	workers.SetLimit(512)
	for i := range n {
		workers.Go(func() (err error) {
			tokens[i], err = storeToken(store, fmt.Sprint(i))
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		b.Fatal(err)
	}
	return tokens
}
