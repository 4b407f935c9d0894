package caddymodule

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/mcpoauth/caddy-mcp-oauth/authz/access"
	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/audit"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/boltstore"
	"github.com/mcpoauth/caddy-mcp-oauth/storage/memstore"
)

var grants = flag.Int("grants", 1000, "grants in the database of BenchmarkHandler")

// BenchmarkHandler is what the handler adds to a proxied call: path, host, gate,
// session, headers, placeholders. hot is a call of one of 1,000 callers
// whose tokens are cached, audited the same with an audit log, cold one whose token must be read from the database.
// Neither has garbage to collect meanwhile.
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
	e, _ := h.site.Load().routes.Find("/mcp")
	server := e.Server
	unaudited, audited := server.Site, *server.Site
	audited.Audit = audit.To(zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel)), h.cfg, nil)
	for range 5 { // a machine has bad moments
		b.Run("hot", func(b *testing.B) {
			benchCalls(b, h, tokens[:min(len(tokens), 1000)], newCall, func(int, int) {})
		})
		b.Run("audited", func(b *testing.B) { // without a body, and without a disk
			server.Site = &audited
			defer func() { server.Site = unaudited }()
			benchCalls(b, h, tokens[:min(len(tokens), 1000)], newCall, func(int, int) {})
		})
		b.Run("cold", func(b *testing.B) {
			cache.Forget(all)
			benchCalls(b, h, tokens, newCall, func(first, next int) {
				cache.Forget(storage.Revocation{AccessTokens: all.AccessTokens[first:next]})
			})
		})
	}
}

// BenchmarkRules is what access rules add to a call of a tool that the last of them
// allows: its body is read, too. condition is one with a condition about its arguments.
func BenchmarkRules(b *testing.B) {
	sets := map[string][]access.Rule{"condition": {{Allow: []string{"search"}, When: `tool.args.query != "secret"`}}}
	for _, count := range []int{0, 10, 1000} {
		var rules []access.Rule
		for i := range count - 1 {
			rules = append(rules, access.Rule{Deny: []string{fmt.Sprintf("delete_%d", i), fmt.Sprintf("remove_%d_*", i)}, For: []string{"key:nobody"}})
		}
		if count > 0 {
			rules = append(rules, access.Rule{Allow: []string{"search"}})
		}
		sets[fmt.Sprint("rules", count)] = rules
	}
	for name, rules := range sets {
		store := memstore.New()
		h, _ := newStubbedHandler(b, store, nil, func(s *config.Server) { s.Tools = rules })
		tokens := storeTokens(b, store, 1000)
		for range 5 {
			b.Run(name, func(b *testing.B) {
				benchCalls(b, h, tokens, newToolCall, func(int, int) {})
			})
		}
	}
}

// newToolCall is newCall with a body as long as the benchmark's from outside.
func newToolCall(token string) *http.Request {
	body := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search","arguments":{"query":"` + strings.Repeat("q", 150) + `"}}}`
	r := newCall(token)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return r
}

// callsPrepared is how many requests are made ready at a time, off the clock:
// few, because a request that is served has just been read and is still in the
// processor's cache.
const callsPrepared = 16

// benchCalls sends calls whose tokens take turns. served is called, off the
// clock, with the range of the tokens that were just used. Time and allocations
// are counted here and not by b, whose StopTimer stops the whole program each
// time; garbage is collected off the clock.
func benchCalls(b *testing.B, h *Handler, tokens []string, call func(token string) *http.Request, served func(first, next int)) {
	w := nowhere{http.Header{}}
	first := 0
	// batch serves up to n calls within measure, and returns how many it were.
	batch := func(n int, measure func(serve func())) int {
		requests := make([]*http.Request, min(n, callsPrepared, len(tokens)-first))
		for i := range requests {
			requests[i] = call(tokens[first+i])
		}
		measure(func() {
			for _, r := range requests {
				if err := h.ServeHTTP(w, r, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		next := first + len(requests)
		served(first, next)
		first = next % len(tokens)
		return len(requests)
	}
	for left := 5000; left > 0; { // what is to be cached gets cached
		left -= batch(left, func(serve func()) { serve() })
	}
	b.ReportAllocs()
	batch(callsPrepared, func(serve func()) { reportAllocations(b, min(callsPrepared, len(tokens)-first), serve) })
	// Preparing a request makes many times the garbage that serving it does, and
	// collecting it empties the processor's cache.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var spent time.Duration
	for left, uncollected := b.N, 0; left > 0; uncollected++ {
		if uncollected == 4000 {
			runtime.GC()
			uncollected = 0
		}
		left -= batch(left, func(serve func()) {
			begin := time.Now()
			serve()
			spent += time.Since(begin)
		})
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/op")
	if len(w.h) > 0 { // only a refusal sets headers
		b.Fatalf("refused: %v", w.h)
	}
}

// reportAllocations reports how many bytes and objects each of n calls
// allocates.
func reportAllocations(b *testing.B, n int, serve func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	serve()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n), "B/op")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/op")
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
