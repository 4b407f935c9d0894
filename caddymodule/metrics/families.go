package metrics

import "github.com/prometheus/client_golang/prometheus"

// Family is one metric, as it is documented.
type Family struct {
	Name   string
	Type   string // counter, gauge or histogram
	Labels []string
	Help   string

	buckets []float64
}

const prefix = "caddy_mcp_oauth_"

// The metrics.
var (
	events = Family{
		Name: "events_total", Type: counter, Labels: []string{"site", "event", "outcome"},
		Help: "What was decided or happened, by kind of event.",
	}
	reasons = Family{
		Name: "event_reasons_total", Type: counter, Labels: []string{"site", "event", "reason"},
		Help: "Those of the events that have a reason, such as refusals.",
	}
	decisions = Family{
		Name: "gate_decisions_total", Type: counter, Labels: []string{"site", "server", "verdict"},
		Help: "Calls of MCP clients at the gate: passed, or why not.",
	}
	upstream = Family{
		Name: "upstream_requests_total", Type: counter, Labels: []string{"site", "server", "code"},
		Help: "Requests to MCP servers by class of the answer, or none if there was no answer.",
	}
	upstreamDuration = Family{
		Name: "upstream_request_duration_seconds", Type: histogram, Labels: []string{"site", "server"},
		Help:    "How long MCP servers took to begin their answers. Measured while the metrics option of Caddy is on.",
		buckets: []float64{.025, .1, .25, 1, 2.5, 10, 30},
	}
	toolCalls = Family{
		Name: "tool_calls_total", Type: counter, Labels: []string{"site", "server", "tool"},
		Help: "Calls of the tools that metric_tools names, and of others together.",
	}
	openStreams = Family{
		Name: "open_streams", Type: gauge, Labels: []string{"site", "server"},
		Help: "Event streams that are open to clients.",
	}
	storeDuration = Family{
		Name: "store_duration_seconds", Type: histogram, Labels: []string{"operation"},
		Help:    "How long the store took to read or to write, until that was durable.",
		buckets: []float64{.0005, .001, .005, .025, .1, .5, 2.5},
	}
	storeErrors = Family{
		Name: "store_errors_total", Type: counter, Labels: []string{"operation"},
		Help: "How often the store failed to read or to write.",
	}
	storeSize = Family{
		Name: "store_size_bytes", Type: gauge,
		Help: "Room that the store takes up.",
	}
	oldKeyAge = Family{
		Name: "old_key_age_seconds", Type: gauge,
		Help: "For how long a record has been waiting to be sealed with the first encryption key; 0 if none is.",
	}
	pendingSignIns = Family{
		Name: "pending_sign_ins", Type: gauge,
		Help: "Sign-ins in which a person has said who they are, and not decided yet. Counted up to 10000.",
	}
	revocationQueue = Family{
		Name: "revocation_queue_length", Type: gauge,
		Help: "Accounts that providers are still to be told to revoke. Counted up to 10000.",
	}
	outgoingDuration = Family{
		Name: "outgoing_request_duration_seconds", Type: histogram, Labels: []string{"to"},
		Help:    "How long others took to begin their answers: providers of accounts, identity providers, hosts of client metadata documents.",
		buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5},
	}
	outgoingErrors = Family{
		Name: "outgoing_request_errors_total", Type: counter, Labels: []string{"to"},
		Help: "Requests to them without an answer, or with one of status 500 or above.",
	}
	cacheHits = Family{
		Name: "cache_hits_total", Type: counter, Labels: []string{"cache"},
		Help: "Look-ups in memory that spared the store.",
	}
	cacheMisses = Family{
		Name: "cache_misses_total", Type: counter, Labels: []string{"cache"},
		Help: "Look-ups in memory that found nothing, or nothing fresh.",
	}
	cacheEntries = Family{
		Name: "cache_entries", Type: gauge, Labels: []string{"cache"},
		Help: "What is in memory.",
	}
	ready = Family{
		Name: "ready", Type: gauge,
		Help: "1 while sign-ins and calls can be answered, else 0.",
	}
)

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// Families returns every metric, in the order in which they are documented.
func Families() []Family {
	all := []Family{
		events, reasons, decisions, upstream, upstreamDuration, toolCalls, openStreams,
		storeDuration, storeErrors, storeSize, oldKeyAge, pendingSignIns, revocationQueue,
		outgoingDuration, outgoingErrors, cacheHits, cacheMisses, cacheEntries, ready,
	}
	for i := range all {
		all[i].Name = prefix + all[i].Name
	}
	return all
}

func (f Family) counters() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + f.Name, Help: f.Help}, f.Labels)
}

func (f Family) histograms() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + f.Name, Help: f.Help, Buckets: f.buckets}, f.Labels)
}

// desc is for what is found out at a scrape.
func (f Family) desc() *prometheus.Desc {
	return prometheus.NewDesc(prefix+f.Name, f.Help, f.Labels, nil)
}
