// Package metrics counts and times what happens, for Prometheus.
//
//	event.Recorder ─▶ Events ──────────┐
//	gateway        ─▶ Server ──────────┤
//	stores, egress ─▶ ObserveStore, …  ├─▶ Metrics, a prometheus.Collector
//	at a scrape    ◀─ State ───────────┘
//
// Caddy has a registry for each configuration. Counters are those of the process,
// so that a reload does not set them back: the one Metrics is registered with each
// configuration anew.
//
// A label has a value that the operator wrote, or one of a fixed list of ours:
// nothing that a person, a client or a stranger can choose.
package metrics
