package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/event"
)

// What is counted of a call allocates nothing, timed or not.
func TestCountingAllocatesNothing(t *testing.T) {
	s := New(func() *State { return nil }).Server("https://mcp.example.com", "a")
	tools := s.Tools([]string{"search"})
	if n := testing.AllocsPerRun(100, func() {
		s.Passed()
		s.Answered(200)
		s.Took(time.Millisecond)
		tools.Called("search")
		tools.Called("other things")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCall(b *testing.B) {
	s := New(func() *State { return nil }).Server("https://mcp.example.com", "a")
	b.Run("counted", func(b *testing.B) {
		for b.Loop() {
			s.Passed()
			s.Answered(200)
		}
	})
	b.Run("timed", func(b *testing.B) {
		for b.Loop() {
			began := time.Now()
			s.Passed()
			s.Answered(200)
			s.Took(time.Since(began))
		}
	})
}

// An answer of whatever status is counted.
func TestAnswered(t *testing.T) {
	m := New(func() *State { return nil })
	s := m.Server("s", "a")
	for _, status := range []int{0, 101, 200, 204, 302, 404, 500, 599, 600, 999, -1} {
		s.Answered(status)
	}
	got := gathered(t, m, "caddy_mcp_oauth_upstream_requests_total", "code")
	for code, want := range map[string]float64{"none": 5, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 2} {
		if got[code] != want {
			t.Errorf("%s: got %v, want %v", code, got[code], want)
		}
	}
}

// Should reasons ever be made up, they are no more series than a hundred.
func TestReasonsAreBounded(t *testing.T) {
	m := New(func() *State { return nil })
	sink := m.Events("s")
	for i := range 1000 {
		sink.Record(&event.Event{Kind: event.TokenRefused, Site: "s", Reason: fmt.Sprint("made up ", i)})
	}
	got := gathered(t, m, "caddy_mcp_oauth_event_reasons_total", "reason")
	if len(got) != maxReasons+1 || got[otherReason] != 1000-maxReasons {
		t.Errorf("%d reasons, %v of them others; want %d and %d", len(got), got[otherReason], maxReasons+1, 1000-maxReasons)
	}
	if n := gathered(t, m, "caddy_mcp_oauth_events_total", "event")["token.refused"]; n != 1000 {
		t.Errorf("%v events, want 1000", n)
	}
}

// A gate's refusal is counted for its server, if there is such a server.
func TestRefusalsOfGates(t *testing.T) {
	m := New(func() *State { return nil })
	m.Server("s", "a")
	sink := m.Events("s")
	for _, server := range []string{"a", "b", ""} {
		sink.Record(&event.Event{Kind: event.GateRefused, Site: "s", Server: server, Reason: "missing_token"})
	}
	sink.Record(&event.Event{Kind: event.Suppressed, Site: "s", Count: 7})
	if got := gathered(t, m, "caddy_mcp_oauth_gate_decisions_total", "verdict"); got["missing_token"] != 1 || len(got) != 2 {
		t.Errorf("got %v, want one missing_token, and passed", got)
	}
	if n := gathered(t, m, "caddy_mcp_oauth_events_total", "event")["event.suppressed"]; n != 0 {
		t.Errorf("what stands for others is counted %v times", n)
	}
}

// gathered returns the counters of a family, by one of their labels.
func gathered(t *testing.T, m *Metrics, name, label string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == label {
					found[pair.GetValue()] += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return found
}
