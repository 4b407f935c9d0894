package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/config"
)

// Server counts the calls of one MCP server. Counting one allocates nothing and
// takes no lock.
type Server struct {
	site, id string
	passed   prometheus.Counter
	classes  [6]prometheus.Counter // of answers, by the first digit of their status
	duration prometheus.Observer
	tools    *prometheus.CounterVec
}

const (
	passed = "passed"
)

// Server returns what counts the calls of a server, the same for each configuration.
func (m *Metrics) Server(site, id string) *Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := serverKey{site, id}
	if s := m.servers[key]; s != nil {
		return s
	}
	s := &Server{
		site: site, id: id, passed: m.decisions.WithLabelValues(site, id, passed),
		duration: m.upstreamDuration.WithLabelValues(site, id), tools: m.tools,
	}
	for class, code := range []string{"none", "none", "2xx", "3xx", "4xx", "5xx"} {
		s.classes[class] = m.upstream.WithLabelValues(site, id, code)
	}
	m.servers[key] = s
	return s
}

// hasServer reports whether Server was called.
func (m *Metrics) hasServer(site, id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.servers[serverKey{site, id}] != nil
}

// Passed counts a call that passed the gate.
func (s *Server) Passed() { s.passed.Inc() }

// Answered counts a request that the server answered, or did not if the status is 0.
func (s *Server) Answered(status int) {
	class := status / 100
	if class < 0 || class >= len(s.classes) {
		class = 0
	}
	s.classes[class].Inc()
}

// Took notes how long an answer took to begin.
func (s *Server) Took(d time.Duration) { s.duration.Observe(d.Seconds()) }

// Tools counts the calls of tools by name.
type Tools struct {
	byName map[string]prometheus.Counter
	other  prometheus.Counter
}

// Tools returns what counts the tools with these names, which an operator wrote; nil
// for none.
func (s *Server) Tools(names []string) *Tools {
	if len(names) == 0 {
		return nil
	}
	t := &Tools{byName: map[string]prometheus.Counter{}, other: s.tools.WithLabelValues(s.site, s.id, config.OtherTools)}
	for _, name := range names {
		t.byName[name] = s.tools.WithLabelValues(s.site, s.id, name)
	}
	return t
}

// Called counts a call of a tool.
func (t *Tools) Called(name string) {
	if c, ok := t.byName[name]; ok {
		c.Inc()
		return
	}
	t.other.Inc()
}
