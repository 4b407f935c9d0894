package server

import (
	"net/http"
	"runtime"
	"testing"
)

// 16 clients at once, on the store that makes everything durable. The time of
// an operation is that of the server; network and pages are not in it.
func parallel16(b *testing.B, prepare func(*testServer) reply, do func(*testServer, *reply)) {
	ts := newTestServerOn(b, testStores(b)["boltstore"])
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		state := prepare(ts)
		for pb.Next() {
			do(ts, &state)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func BenchmarkSignIn(b *testing.B) {
	parallel16(b, func(*testServer) reply { return reply{} }, func(ts *testServer, _ *reply) { ts.signedIn() })
}

func BenchmarkRefresh(b *testing.B) {
	parallel16(b, (*testServer).signedIn, func(ts *testServer, state *reply) {
		if *state = ts.refresh("app", state.Refresh); state.status != http.StatusOK {
			b.Error(state.body)
		}
	})
}
