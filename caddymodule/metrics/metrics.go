package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// Metrics are those of a process. They implement prometheus.Collector.
type Metrics struct {
	events, reasons, decisions, upstream, tools *prometheus.CounterVec
	storeErrors, outgoingErrors                 *prometheus.CounterVec
	upstreamDuration, storeDuration, outgoing   *prometheus.HistogramVec
	reads, writes                               operation

	state func() *State

	mu      sync.Mutex // guards what follows
	servers map[serverKey]*Server
	known   map[string]bool // reasons
}

type serverKey struct{ site, id string }

// operation is what is measured of one kind of transaction.
type operation struct {
	duration prometheus.Observer
	errors   prometheus.Counter
}

// New returns metrics without any event. state is asked at each scrape, and
// returns nil while there is nothing to tell.
func New(state func() *State) *Metrics {
	m := &Metrics{
		events: events.counters(), reasons: reasons.counters(), decisions: decisions.counters(), upstream: upstream.counters(), tools: toolCalls.counters(),
		storeErrors: storeErrors.counters(), outgoingErrors: outgoingErrors.counters(),
		upstreamDuration: upstreamDuration.histograms(), storeDuration: storeDuration.histograms(), outgoing: outgoingDuration.histograms(),
		state: state, servers: map[serverKey]*Server{}, known: map[string]bool{},
	}
	m.reads, m.writes = m.operation("read"), m.operation("write")
	return m
}

func (m *Metrics) operation(name string) operation {
	return operation{m.storeDuration.WithLabelValues(name), m.storeErrors.WithLabelValues(name)}
}

// ObserveStore implements storage.Observer.
func (m *Metrics) ObserveStore(changes bool, took time.Duration, err error) {
	o := &m.reads
	if changes {
		o = &m.writes
	}
	o.duration.Observe(took.Seconds())
	if storage.IsFailure(err) {
		o.errors.Inc()
	}
}

// Destination is whom requests of ours go to.
type Destination string

// The destinations.
const (
	Providers         Destination = "account_provider"
	IdentityProviders Destination = "identity_provider"
	ClientHosts       Destination = "client"
)

// ObserveRequests returns what is told of each request to a destination: how long it
// took until there was an answer, and its status, or 0 for none.
func (m *Metrics) ObserveRequests(to Destination) func(took time.Duration, status int) {
	duration, failed := m.outgoing.WithLabelValues(string(to)), m.outgoingErrors.WithLabelValues(string(to))
	return func(took time.Duration, status int) {
		duration.Observe(took.Seconds())
		if status == 0 || status >= 500 {
			failed.Inc()
		}
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(descs)
	}
	for _, d := range stateDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(metrics)
	}
	if state := m.state(); state != nil {
		state.collect(metrics)
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.events, m.reasons, m.decisions, m.upstream, m.upstreamDuration, m.tools,
		m.storeDuration, m.storeErrors, m.outgoing, m.outgoingErrors,
	}
}

var _ prometheus.Collector = (*Metrics)(nil)
