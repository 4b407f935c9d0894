package authz

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// discard is a ResponseWriter that costs nothing but its headers.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func bearerRequests(tokens []string) []*http.Request {
	requests := make([]*http.Request, len(tokens))
	for i, token := range tokens {
		requests[i] = httptest.NewRequest("POST", mcpURL, nil)
		requests[i].Header.Set(authHeader, "Bearer "+token)
	}
	return requests
}

// BenchmarkCheckHot is a call whose token is cached, among few and many.
func BenchmarkCheckHot(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := newGateFixture(b, gateConfig())
			f.cache = NewTokenCache(f.store, 2*n) // none is evicted by an uneven shard
			f.as.deps.Tokens = f.cache
			tokens := make([]string, n)
			for i := range tokens {
				tokens[i] = f.issue(nil)
			}
			g := f.gate("mcp")
			// Few connections, of many grants: as a proxy sees them.
			requests := bearerRequests(tokens[:min(n, 4096)])
			w := &discard{http.Header{}}
			for _, token := range tokens {
				if _, err := f.cache.Lookup(b.Context(), hashBearer(token), f.now); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if g.Check(w, requests[i%len(requests)]) == nil {
					b.Fatal("refused")
				}
				i++
			}
		})
	}
}

// BenchmarkCheckRefused is a call that fails without the store.
func BenchmarkCheckRefused(b *testing.B) {
	f := newGateFixture(b, gateConfig())
	g := f.gate("mcp")
	for name, r := range map[string]*http.Request{
		"none":    httptest.NewRequest("POST", mcpURL, nil),
		"garbage": bearerRequests([]string{"garbage"})[0],
		"forged":  bearerRequests([]string{newSecret(accessTokenPrefix)})[0],
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Check(&discard{http.Header{}}, r)
			}
		})
	}
}
