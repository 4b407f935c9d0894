package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/mcpoauth/caddy-mcp-oauth/caddymodule/metrics"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/generated"
	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// wantCounts compares sums of series, each with what they are of the site.
func wantCounts(t *testing.T, s scrape, want map[string]float64) {
	t.Helper()
	for query, n := range want {
		words := strings.Fields(query)
		if got := s.sum(words[0], words[1:]...); got != n {
			t.Errorf("%s: got %v, want %v", query, got, n)
		}
	}
}

// What happens is counted, and a reload, whether it succeeds or fails, sets nothing back.
func TestMetricsOutliveReloads(t *testing.T) {
	up := oauthtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "fail") {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	began := g.scrape(addr) // with what other tests of this process had counted
	token := accessToken(t, g.signIn("A client", g.url+"/mcp"))
	status(t, g.call("POST", "/mcp", toolCall), 200)
	status(t, g.call("POST", "/mcp", "fail"), 500)
	status(t, g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+token), 200)
	status(t, g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+token), 200)
	status(t, g.call("POST", "/mcp", toolCall, "Authorization", ""), 401)
	want := map[string]float64{
		"gate_decisions_total verdict passed":     4,
		"upstream_requests_total code 2xx":        3,
		"upstream_requests_total code 5xx":        1,
		"upstream_requests_total code none":       0,
		"upstream_request_duration_seconds_count": 0, // the metrics option of Caddy is off
		"cache_hits_total cache access_tokens":    1,
		"cache_misses_total cache access_tokens":  1,
		"cache_entries cache access_tokens":       1,
		"pending_sign_ins":                        0,
		"revocation_queue_length":                 0,
		"ready":                                   1,
		"events_total event person.ended":         0,
	}
	for _, ofProcess := range []string{"store_errors_total", "outgoing_request_errors_total to account_provider", "outgoing_request_duration_seconds_count to client"} {
		words := strings.Fields(ofProcess)
		want[ofProcess] = began.sum(words[0], words[1:]...)
	}
	before := g.scrape(addr).of(g.url)
	wantCounts(t, before, want)
	for _, some := range []string{"store_duration_seconds_count operation write", "store_duration_seconds_count operation read", "store_size_bytes"} {
		words := strings.Fields(some)
		if before.sum(words[0], words[1:]...) <= 0 {
			t.Errorf("no %s", some)
		}
	}

	g.withAdminAt(addr, lines+"\nbranding {\nname Other\n}")
	wantCounts(t, g.scrape(addr).of(g.url), want)

	broken := strings.Replace(g.caddyfile(lines), "admin off", "admin "+addr, 1) + "http://127.0.0.1:1 {\nbind 192.0.2.1\nrespond x\n}\n"
	if err := loadCaddyfile(broken); err == nil {
		t.Fatal("a configuration that cannot listen was loaded")
	}
	status(t, g.call("POST", "/mcp", toolCall), 200)
	want["gate_decisions_total verdict passed"]++
	want["upstream_requests_total code 2xx"]++
	wantCounts(t, g.scrape(addr).of(g.url), want)
}

// Also where the app of the failed configuration never came to be.
func TestMetricsAfterFailedProvision(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	status(t, g.call("POST", "/mcp", toolCall), 200)
	broken := fmt.Sprintf(`{"admin": {"listen": %q}, "apps": {"mcp_oauth": {"encryption_keys": ["short"]}}}`, addr)
	if err := caddy.Load([]byte(broken), true); err == nil {
		t.Fatal("a configuration with a bad key was loaded")
	}
	wantCounts(t, g.scrape(addr).of(g.url), map[string]float64{"gate_decisions_total verdict passed": 1, "ready": 1})
}

// Tools are counted by the names that the operator wrote.
func TestMetricTools(t *testing.T) {
	up := oauthtest.Serve(t, nil)
	lines := alice + "server a /mcp " + up.URL + " {\nmetric_tools search fetch\n}\nserver b /b " + up.URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	calls := func(path, tool string, times int) {
		for range times {
			body := fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":%q}}`, tool)
			status(t, g.call("POST", path, body), 200)
		}
	}
	calls("/mcp", "search", 2)
	calls("/mcp", "made up by a client", 3)
	calls("/b", "search", 1)
	status(t, g.call("POST", "/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`), 200)
	wantCounts(t, g.scrape(addr).of(g.url), map[string]float64{
		"tool_calls_total server a tool search": 2, "tool_calls_total server a tool fetch": 0, "tool_calls_total server a tool other": 3,
		"tool_calls_total server b": 0, "tool_calls_total": 5,
	})
}

// How long MCP servers take is measured where the operator wants Caddy's metrics.
func TestMetricsOfCaddyTimeCalls(t *testing.T) {
	lines := alice + "server a /mcp " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := freeAddr(t)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "metrics\nadmin "+addr, 1))
	status(t, g.call("POST", "/mcp", toolCall), 200)
	wantCounts(t, g.scrape(addr).of(g.url), map[string]float64{
		"upstream_request_duration_seconds_count server a": 1, "upstream_request_duration_seconds_bucket server a le +Inf": 1,
	})
}

// An event stream is counted while it is open.
func TestMetricsOfStreams(t *testing.T) {
	up, next := eventStream(t)
	lines := alice + "server a /mcp " + up.URL
	g := newGateway(t, lines)
	addr := g.withAdmin(lines)
	res := g.call("GET", "/mcp", "")
	if got, err := readEvent(res.Body); got != "open" {
		t.Fatalf("got %q, %v", got, err)
	}
	wantCounts(t, g.scrape(addr), map[string]float64{"open_streams server a": 1})
	close(next)
	if _, err := readEvent(res.Body); err == nil {
		t.Fatal("the stream did not end")
	}
	oauthtest.Eventually(t, "the stream is not counted any more", func() bool { return g.scrape(addr).sum("open_streams") == 0 })
}

// Whoever calls, and whatever they say, the number of series does not grow.
func TestMetricsAreBounded_M07(t *testing.T) {
	const many = 1000
	names := make([]string, many)
	for i := range names {
		names[i] = fmt.Sprintf("human%d", i)
	}
	lines := people(names...) + "registration {\nrate_limit 0\n}\nserver a /mcp " + oauthtest.Serve(t, nil).URL + "\nserver b /b " + oauthtest.Serve(t, nil).URL
	g := newGateway(t, lines)
	addr := freeAddr(t)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "metrics\nadmin "+addr, 1))
	for i, name := range names {
		status(t, g.call("POST", "/mcp", toolCall, "Authorization", "Bearer "+keyOf(name), "User-Agent", name), 200)
		g.call("POST", "/mcp", toolCall, "Authorization", "Bearer wrong-"+name)
		g.call("POST", "/b", toolCall, "Authorization", "", "Origin", "https://"+name+".example")
		if i%50 == 0 {
			g.signIn(name, g.url+"/mcp")
			g.call("GET", "/api/oauth/per-user/authorize?client_id="+name, "")
			g.call("POST", "/api/oauth/per-user/token", "grant_type="+name, "Content-Type", "application/x-www-form-urlencoded")
		}
	}
	text := g.scraped(addr)
	s := readScrape(t, text).of(g.url)
	if len(s) >= 200 {
		t.Errorf("%d series, want fewer than 200", len(s))
	}
	t.Logf("%d series", len(s))
	for _, one := range s {
		for name, value := range one.labels {
			if strings.Contains(value, "human") {
				t.Errorf("%s has %s=%q", one.name, name, value)
			}
		}
	}
	problems, err := promlint.New(strings.NewReader(ofSite(text, g.url))).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "caddy_mcp_oauth_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// docs/monitoring.md has every metric.
func TestMetricsAreDocumented(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| metric | labels | what it is |\n|---|---|---|\n")
	for _, f := range metrics.Families() {
		labels := "–"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` (%s) | %s | %s |\n", f.Name, f.Type, labels, f.Help)
	}
	table.WriteString("\n")
	generated.Compare(t, "../docs/monitoring.md", table.String(), *update)
}
