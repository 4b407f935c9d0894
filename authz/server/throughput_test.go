package server

import (
	"net/http"
	"runtime"
	"testing"
)

// 16 clients at once, on the store that makes everything durable. The time of
// an operation is that of the server; network and pages are not in it.
func parallel16(b *testing.B, prepare func(*lab) reply, do func(*lab, *reply)) {
	l := newLabOn(b, labStores(b)["boltstore"])
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		state := prepare(l)
		for pb.Next() {
			do(l, &state)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func BenchmarkSignIn(b *testing.B) {
	parallel16(b, func(*lab) reply { return reply{} }, func(l *lab, _ *reply) { l.signedIn() })
}

func BenchmarkRefresh(b *testing.B) {
	parallel16(b, (*lab).signedIn, func(l *lab, state *reply) {
		if *state = l.refresh("app", state.Refresh); state.status != http.StatusOK {
			b.Error(state.body)
		}
	})
}
