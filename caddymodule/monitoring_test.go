package caddymodule

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpoauth/caddy-mcp-oauth/internal/oauthtest"
)

// Whatever the dashboard and the alerts of examples/monitoring ask for is in a scrape
// of a Caddy where people signed in, connected an account and called.
func TestMonitoringExamples(t *testing.T) {
	notion := newService(t)
	broken := oauthtest.Serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	lines := people("alice") + strings.Replace(notion.server(), "title Notion", "title Notion\nmetric_tools whoami", 1) + "server broken /broken " + broken.URL
	g := newGateway(t, lines)
	addr := freeAddr(t)
	g.load(strings.Replace(g.caddyfile(lines), "admin off", "metrics\nadmin "+addr, 1))
	client := g.person("alice").signIn("notion")
	for range 2 {
		status(t, client.send(toolCall), 200)
		notion.provider.ExpireAll() // so that the account is refreshed
	}
	status(t, g.call("POST", "/mcp", toolCall, "Authorization", ""), 401)
	status(t, g.call("POST", "/broken", toolCall, "Authorization", "Bearer "+keyOf("alice")), 500)
	status(t, g.call("GET", "/.well-known/oauth-protected-resource/mcp", ""), 200)
	status(t, g.call("POST", "/api/oauth/per-user/token", url.Values{
		"grant_type": {"refresh_token"}, "client_id": {g.client}, "refresh_token": {client.refresh},
	}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), 200)
	status(t, g.call("POST", "/api/oauth/per-user/token", "grant_type=password", "Content-Type", "application/x-www-form-urlencoded", "Authorization", ""), 400)
	s := g.scrape(addr).of(g.url)

	for _, e := range []string{
		"metadata.served", "client.registered", "sign_in.started", "sign_in.succeeded", "consent.given", "token.issued", "call.passed", // the funnel
		"connection.connected", "token.refreshed", "connection.refreshed", "gate.refused",
	} {
		if s.sum("events_total", "event", e) == 0 {
			t.Errorf("%s happened and was not counted", e)
		}
	}
	for file, queries := range map[string][]string{
		"dashboard.json": dashboardQueries(t, "../examples/monitoring/dashboard.json"),
		"alerts.yml":     {readText(t, "../examples/monitoring/alerts.yml")},
	} {
		asked := 0
		for _, query := range queries {
			for _, selector := range selectors(query) {
				asked++
				s.wantAnswer(t, file, selector)
			}
		}
		if asked < 10 {
			t.Errorf("%s: found %d selectors", file, asked)
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dashboardQueries returns what the panels and variables of a Grafana dashboard ask.
func dashboardQueries(t *testing.T, path string) (queries []string) {
	t.Helper()
	type query struct {
		Expr string `json:"expr"`
	}
	var dashboard struct {
		Panels []struct {
			Title   string  `json:"title"`
			Type    string  `json:"type"`
			Targets []query `json:"targets"`
		} `json:"panels"`
		Templating struct {
			List []struct {
				Query any `json:"query"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal([]byte(readText(t, path)), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		if q, ok := v.Query.(map[string]any); ok {
			queries = append(queries, q["query"].(string))
		}
	}
	return queries
}

// selector is one choice of series in a query.
type selector struct{ text, name, labels string }

var (
	selectorText = regexp.MustCompile(`(caddy_mcp_oauth_[a-z_]+)(?:\{([^}]*)\})?`)
	labelMatcher = regexp.MustCompile(`([a-z_]+)\s*(=~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
)

func selectors(query string) (all []selector) {
	for _, m := range selectorText.FindAllStringSubmatch(query, -1) {
		all = append(all, selector{m[0], m[1], m[2]})
	}
	return all
}

// wantAnswer fails unless there is a series for a selector, and one for each of the
// alternatives in it.
func (s scrape) wantAnswer(t *testing.T, file string, asked selector) {
	t.Helper()
	left := s.matching(strings.TrimPrefix(asked.name, "caddy_mcp_oauth_"))
	for _, m := range labelMatcher.FindAllStringSubmatch(asked.labels, -1) {
		name, how, value := m[1], m[2], strings.ReplaceAll(strings.ReplaceAll(m[3], `\\`, `\`), "$site", ".*")
		if how != "=~" {
			left = slices.DeleteFunc(left, func(one series) bool { return (one.labels[name] == value) == (how == "!=") })
			continue
		}
		for alternative := range strings.SplitSeq(value, "|") {
			if !slices.ContainsFunc(left, func(one series) bool {
				return regexp.MustCompile("^(?:" + alternative + ")$").MatchString(one.labels[name])
			}) {
				t.Errorf("%s: %s: no series has %s=~%q", file, asked.text, name, alternative)
			}
		}
		left = slices.DeleteFunc(left, func(one series) bool { return !regexp.MustCompile("^(?:" + value + ")$").MatchString(one.labels[name]) })
	}
	if len(left) == 0 {
		t.Errorf("%s: %s: there is no such series", file, asked.text)
	}
}
