package caddymodule

import (
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlpcommon "go.opentelemetry.io/proto/otlp/common/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// traceCollector takes traces as an OpenTelemetry collector does (OTLP over HTTP).
type traceCollector struct {
	mu    sync.Mutex
	spans []*otlptrace.Span
	text  []string // of all that was sent
}

// newTraceCollector starts a collector, and has Caddy send traces there.
func newTraceCollector(t *testing.T) *traceCollector {
	c := new(traceCollector)
	s := oauthtest.Serve(t, c.ServeHTTP)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": s.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_PROPAGATORS": "tracecontext,baggage",
	} {
		t.Setenv(name, value)
	}
	return c
}

// ServeHTTP implements http.Handler.
func (c *traceCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &sent); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, sent.String())
	for _, resource := range sent.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// texts returns the attributes that are texts.
func texts(attributes []*otlpcommon.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		if text, ok := a.Value.Value.(*otlpcommon.AnyValue_StringValue); ok {
			all[a.Key] = text.StringValue
		}
	}
	return all
}

// Sign-ins and calls are in the trace that Caddy records, which is the client's, and
// the MCP server gets to see where it goes on. We add nothing of a person to a trace.
func TestTraces(t *testing.T) {
	c := newTraceCollector(t)
	var mu sync.Mutex
	var passed string
	up := oauthtest.Serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		passed = r.Header.Get("Traceparent")
	})
	lines := alice + "server a /mcp " + up.URL
	g := &instance{t: t, addr: freeAddr(t), dir: t.TempDir()}
	g.url, g.logs = "http://"+g.addr, g.dir+"/caddy.log"
	g.load(strings.Replace(g.caddyfile(lines), "bind 127.0.0.1", "bind 127.0.0.1\ntracing {\nspan mcp\n}", 1))
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent := "00-" + traceID + "-00f067aa0ba902b7-01"
	token := accessToken(t, g.signIn("Client canary", g.url+"/mcp"))
	status(t, g.call("POST", "/mcp", toolCall, "Traceparent", parent, "Authorization", "Bearer "+token), 200)
	status(t, g.call("POST", "/mcp", toolCall, "Traceparent", parent, "Authorization", "Bearer wrong"), 401)
	if err := caddy.Stop(); err != nil { // which sends what is left
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(passed, "00-"+traceID+"-") || passed == parent {
		t.Errorf("the server got traceparent %q, want another span of trace %s", passed, traceID)
	}
	happened := map[string]map[string]string{}
	flows := map[string]bool{}
	for _, span := range c.spans {
		attributes := texts(span.Attributes)
		if flow := attributes["mcp_oauth.flow"]; flow != "" {
			flows[flow] = true
		}
		for _, e := range span.Events {
			happened[e.Name] = texts(e.Attributes)
		}
		if inTrace := hex.EncodeToString(span.TraceId) == traceID; inTrace && attributes["mcp_oauth.server"] != "a" {
			t.Errorf("a call has the attributes %v, want mcp_oauth.server=a", attributes)
		}
	}
	for _, want := range []string{"mcp_oauth.client.registered", "mcp_oauth.sign_in.started", "mcp_oauth.token.issued", "mcp_oauth.gate.refused"} {
		if happened[want] == nil {
			t.Errorf("no span has the event %s, but %q", want, slices.Sorted(maps.Keys(happened)))
		}
	}
	refused := happened["mcp_oauth.gate.refused"]
	if refused["mcp_oauth.reason"] == "" || refused["mcp_oauth.correlation_id"] == "" || refused["mcp_oauth.server"] != "a" || refused["mcp_oauth.outcome"] != "refused" {
		t.Errorf("the refusal has the attributes %v", refused)
	}
	if len(flows) != 1 {
		t.Errorf("the sign-in is the flows %v, want one", slices.Sorted(maps.Keys(flows)))
	}
	for _, text := range c.text {
		for _, never := range []string{"anonymous:", "Client canary", token, g.code, g.client} {
			if strings.Contains(text, never) {
				t.Errorf("a trace has %q", never)
			}
		}
	}
}
