package promql

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

const folder = "../../examples/monitoring/"

var expressions = parser.NewParser(parser.Options{})

// alerts returns the alerts by name, as Prometheus reads them.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(folder+"alerts.yml", false, model.UTF8Validation, expressions, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	all := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			all[rule.Alert] = rule
		}
	}
	return all
}

// Each alert says what is wrong and what to do.
func TestAlertsAreComplete(t *testing.T) {
	for name, rule := range alerts(t) {
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("%s lacks a summary, a description or a severity", name)
		}
	}
}

func TestDashboardParses(t *testing.T) {
	text, err := os.ReadFile(folder + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$site", ".*").Replace(target.Expr)
			if _, err := expressions.ParseExpr(expr); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, expr, err)
			}
			parsed++
		}
	}
	if parsed < 20 {
		t.Errorf("%d expressions, want more", parsed)
	}
}

const event = `caddy_mcp_oauth_events_total{site="s",event="`

// Series over two hours, a minute apart, in the notation of Prometheus's own tests.
var situations = map[string]struct{ quiet, firing string }{
	"MCPOAuthNotReady":   {`caddy_mcp_oauth_ready 1x120`, `caddy_mcp_oauth_ready 1x110 0x10`},
	"MCPOAuthStoreFails": {`caddy_mcp_oauth_store_errors_total{operation="read"} 7x120`, `caddy_mcp_oauth_store_errors_total{operation="read"} 0x118 1 1`},
	"MCPOAuthStoreSlow": {
		`caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="0.1"} 0+60x120
		caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="0.5"} 0+60x120
		caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="2.5"} 0+60x120
		caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="+Inf"} 0+60x120`,
		`caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="0.1"} 0+50x120
		caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="0.5"} 0+50x120
		caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="2.5"} 0+60x120
		caddy_mcp_oauth_store_duration_seconds_bucket{operation="write",le="+Inf"} 0+60x120`,
	},
	"MCPOAuthServerFails": {
		`caddy_mcp_oauth_upstream_requests_total{site="s",server="a",code="2xx"} 0+60x120
		caddy_mcp_oauth_upstream_requests_total{site="s",server="a",code="5xx"} 0+20x120
		caddy_mcp_oauth_upstream_requests_total{site="s",server="a",code="none"} 0x120`,
		`caddy_mcp_oauth_upstream_requests_total{site="s",server="a",code="2xx"} 0+20x120
		caddy_mcp_oauth_upstream_requests_total{site="s",server="a",code="5xx"} 0+20x120
		caddy_mcp_oauth_upstream_requests_total{site="s",server="a",code="none"} 0+20x120`,
	},
	"MCPOAuthServerMisconfigured": {event + `server.misconfigured"} 3x120`, event + `server.misconfigured"} 0x115 1x5`},
	"MCPOAuthNobodyGetsIn": {
		event + `sign_in.started"} 0+1x120` + "\n" + event + `token.issued"} 0x110 1x10`,
		event + `sign_in.started"} 0+1x120` + "\n" + event + `token.issued"} 4x120`,
	},
	"MCPOAuthSignInsFail":         {event + `sign_in.failed"} 0x115 1x5`, event + `sign_in.failed"} 0x110 5x10`},
	"MCPOAuthProviderUnreachable": {event + `provider.unreachable"} 1x120`, event + `provider.unreachable"} 0x110 1x10`},
	"MCPOAuthAccountProviderFails": {
		`caddy_mcp_oauth_outgoing_request_errors_total{instance="i",to="account_provider"} 0x110 3x10`,
		`caddy_mcp_oauth_outgoing_request_errors_total{instance="i",to="account_provider"} 0x110 8x10`,
	},
	"MCPOAuthClientDocumentsUnreachable": {event + `client_document.unreachable"} 0x110 2x10`, event + `client_document.unreachable"} 0x110 6x10`},
	"MCPOAuthTokenStolen":                {event + `token.reuse_detected"} 2x120`, event + `token.reuse_detected"} 0x119 1`},
	"MCPOAuthGuessing":                   {event + `guessing.suspected"} 9x120`, event + `guessing.suspected"} 0+1x120`},
	"MCPOAuthRecordsDamaged":             {event + `record.damaged"} 0x120`, event + `record.damaged"} 0x110 1x10`},
	"MCPOAuthRevocationsWait":            {`caddy_mcp_oauth_revocation_queue_length 100x120`, `caddy_mcp_oauth_revocation_queue_length 101x120`},
	"MCPOAuthOldKeyInUse":                {`caddy_mcp_oauth_old_key_age_seconds 0+60x120`, `caddy_mcp_oauth_old_key_age_seconds 90000+60x120`},
}

// Each alert is quiet while all is well, and not when it is not.
func TestAlertsFire(t *testing.T) {
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	rules := alerts(t)
	for name, rule := range rules {
		s, ok := situations[name]
		if !ok {
			t.Errorf("%s: no situation in which it fires", name)
			continue
		}
		for series, want := range map[string]bool{s.quiet: false, s.firing: true} {
			storage := promqltest.LoadedStorage(t, "load 1m\n\t"+strings.ReplaceAll(strings.ReplaceAll(series, "\n\t\t", "\n\t"), "\ncaddy", "\n\tcaddy")+"\n")
			query, err := engine.NewInstantQuery(t.Context(), storage, nil, rule.Expr, time.Unix(0, 0).Add(2*time.Hour))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			vector, err := query.Exec(t.Context()).Vector()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := len(vector) > 0; got != want {
				t.Errorf("%s: fires %t, want %t, with %s", name, got, want, series)
			}
			query.Close()
		}
	}
	for name := range situations {
		if _, ok := rules[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
}
