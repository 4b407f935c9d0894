package metrics

import "github.com/mcpoauth/caddy-mcp-oauth/internal/event"

const (
	// maxReasons bounds the values of a label, should a reason ever not be one of a
	// fixed list.
	maxReasons  = 100
	otherReason = "other"
)

// Events returns a sink that counts the events of a site.
func (m *Metrics) Events(site string) event.Sink {
	for _, k := range event.Kinds() { // so that the first one is an increase
		if counts(k) {
			m.events.WithLabelValues(site, k.String(), string(k.Outcome()))
		}
	}
	return eventSink{m}
}

type eventSink struct{ *Metrics }

// Record implements event.Sink.
func (m eventSink) Record(e *event.Event) {
	if !counts(e.Kind) {
		return
	}
	reason := m.bounded(e.Reason)
	if e.Kind == event.GateRefused && m.hasServer(e.Site, e.Server) {
		m.decisions.WithLabelValues(e.Site, e.Server, reason).Inc()
	}
	m.events.WithLabelValues(e.Site, e.Kind.String(), string(e.Kind.Outcome())).Inc()
	if reason != "" {
		m.reasons.WithLabelValues(e.Site, e.Kind.String(), reason).Inc()
	}
}

// counts reports whether events of a kind are counted. Those that a Suppressed stands
// for were, one by one.
func counts(k event.Kind) bool { return k != event.Suppressed }

// bounded returns the reason, or another word once there are too many.
func (m *Metrics) bounded(reason string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case reason == "" || m.known[reason]:
		return reason
	case len(m.known) == maxReasons:
		return otherReason
	}
	m.known[reason] = true
	return reason
}
