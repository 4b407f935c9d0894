package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/cache"
	"github.com/mcpoauth/caddy-mcp-oauth/storage"
)

// State is what there is at the time of a scrape.
type State struct {
	Ready bool
	// Usage is nil while the store cannot tell.
	Usage *storage.Usage
	// Caches are those in front of the store, by name.
	Caches map[string]cache.Stats
	// ResealingFor is for how long something has been waiting to be sealed with the
	// first encryption key.
	ResealingFor time.Duration
	// Streams are the event streams that are open.
	Streams []Streams
}

// Streams are those of one MCP server.
type Streams struct {
	Site, Server string
	Open         int
}

var (
	readyDesc           = ready.desc()
	storeSizeDesc       = storeSize.desc()
	pendingSignInsDesc  = pendingSignIns.desc()
	revocationQueueDesc = revocationQueue.desc()
	cacheHitsDesc       = cacheHits.desc()
	cacheMissesDesc     = cacheMisses.desc()
	cacheEntriesDesc    = cacheEntries.desc()
	openStreamsDesc     = openStreams.desc()
	oldKeyAgeDesc       = oldKeyAge.desc()

	stateDescs = []*prometheus.Desc{
		readyDesc, storeSizeDesc, pendingSignInsDesc, revocationQueueDesc, cacheHitsDesc, cacheMissesDesc, cacheEntriesDesc, openStreamsDesc, oldKeyAgeDesc,
	}
)

func (s *State) collect(metrics chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	isReady := 0.0
	if s.Ready {
		isReady = 1
	}
	send(readyDesc, prometheus.GaugeValue, isReady)
	send(oldKeyAgeDesc, prometheus.GaugeValue, s.ResealingFor.Seconds())
	if u := s.Usage; u != nil {
		if u.Bytes > 0 {
			send(storeSizeDesc, prometheus.GaugeValue, float64(u.Bytes))
		}
		send(pendingSignInsDesc, prometheus.GaugeValue, float64(u.PendingFlows))
		send(revocationQueueDesc, prometheus.GaugeValue, float64(u.Revocations))
	}
	for name, stats := range s.Caches {
		send(cacheHitsDesc, prometheus.CounterValue, float64(stats.Hits), name)
		send(cacheMissesDesc, prometheus.CounterValue, float64(stats.Misses), name)
		send(cacheEntriesDesc, prometheus.GaugeValue, float64(stats.Entries), name)
	}
	for _, of := range s.Streams {
		send(openStreamsDesc, prometheus.GaugeValue, float64(of.Open), of.Site, of.Server)
	}
}
